"""`seglight zoo`: the models that a config can name."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import yaml
from conftest import Result

from seglight.config.catalogue import LIBRARIES
from seglight.config.mmseg.packaged import zoo_folder
from seglight.config.mmseg.zoo import zoo_names

Run = Callable[..., Result]


def test_all_are_listed(run: Run) -> None:
    lines = run('zoo', '--library', 'mmseg').out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == zoo_names()
    assert len(lines) > 600


def test_each_table_is_headed_by_the_key_that_takes_its_names(run: Run) -> None:
    listed = run('zoo').out.split('\n\n')
    heads = [table.split()[0] for table in listed]
    assert heads == [key for keys in LIBRARIES.values() for key in keys]
    assert heads[1:3] == ['TIMMBackbone.model_name', 'HFSegmentor.name']
    assert run('zoo', '--library', 'smp').out == '\n\n'.join(listed[3:])


def test_a_line_has_parameters_licence_and_source(run: Run) -> None:
    head, line = run('zoo', 'vit_small_patch16_dinov3.lvd1689m').out.splitlines()
    assert head.split() == ['TIMMBackbone.model_name', 'params', 'licence', 'weights']
    assert line.split()[0] == 'vit_small_patch16_dinov3.lvd1689m'
    assert line.split()[1:3] == ['21.6', 'M']
    assert line.split()[3:] == ['dinov3-license', 'https://huggingface.co/timm/vit_small_patch16_dinov3.lvd1689m']
    resnet = run('zoo', 'RESNET18', '--library', 'smp').out.splitlines()[1]
    assert ' '.join(resnet.split()) == 'resnet18 11.2 M imagenet, ssl, swsl from https://huggingface.co/smp-hub'


def test_each_line_says_what_mmsegs_index_says(run: Run) -> None:
    line = run('zoo', 'segformer_mit-b0_512x512_160k_ade20k').out.splitlines()[1].split()
    index = yaml.safe_load((zoo_folder() / 'segformer' / 'segformer.yml').read_text())
    entry = next(model for model in index['Models'] if model['Name'] == 'segformer_mit-b0_512x512_160k_ade20k')
    assert line[0] == 'segformer/segformer_mit-b0_512x512_160k_ade20k'
    assert line[1:3] == ['3.8', 'M']  # the paper's figure, too
    assert line[3] == f'{entry["Results"][0]["Metrics"]["mIoU"]:.2f}'
    assert line[4] == entry['Weights']


def test_a_pattern_may_have_wildcards(run: Run) -> None:
    lines = run('zoo', 'ocrnet*r101*').out.splitlines()[1:]
    assert lines
    assert all(line.startswith('ocrnet/') and 'r101' in line for line in lines)


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['psqnet'], "mmseg, timm, transformers and smp have no model like 'psqnet'; did you mean 'pspnet'?"),
        (
            ['convnextv3_tiny', '--library', 'timm'],
            "timm has no model like 'convnextv3_tiny'; did you mean 'convnextv2_tiny'?",
        ),
        (['nvidia/segfromer-b0-finetuned-ade-512-512'], "'nvidia/segformer-b0-finetuned-ade-512-512'"),
        (['a', '--library', 'keras'], "invalid choice: 'keras'"),
        (['a', 'b'], 'unrecognized arguments: b'),
    ],
)
def test_what_is_not_there_is_told(run: Run, words: list[str], said: str) -> None:
    result = run('zoo', *words)
    assert (result.status, result.out) == (2, '')
    assert said in result.err


def test_it_needs_no_torch_and_stops_quietly_where_a_pipe_is_closed() -> None:
    code = 'import sys; sys.argv[1:] = ["zoo", "fcn"]; from seglight.__main__ import run; run(sys.argv[1:]); assert "torch" not in sys.modules'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True).returncode == 0
    done = subprocess.run(f'{sys.executable} -m seglight zoo | head -1', shell=True, capture_output=True, text=True)
    assert done.stdout.startswith('model.zoo')
    assert done.stderr == ''
