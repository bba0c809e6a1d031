"""What a file of OpenVINO may not contain, and what cannot be read."""

from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
import torch
from runtimes.test_onnx_file import METADATA
from torch.nn import functional as F

from seglight.errors import CheckpointError
from seglight.runtimes.openvino_file import SETTINGS, read_metadata

LAYER = '<layer id="0" type="Parameter" version="opset1"/>'


def written(folder: Path, layers: str = LAYER, head: str = '', weights: bool = True) -> Path:
    path = folder / 'm.xml'
    value = quoteattr(METADATA.text())
    path.write_text(
        f'{head}<net><layers>{layers}</layers><rt_info><seglight value={value}/></rt_info></net>', encoding='utf-8'
    )
    if weights:
        path.with_suffix('.bin').write_bytes(b'')
    return path


def test_metadata_are_read_from_the_text(tmp_path: Path) -> None:
    assert read_metadata(written(tmp_path)) == METADATA


BOMB = '<!DOCTYPE net [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ('layers', 'head', 'text'),
    [
        ('<layer type="Evil" version="extension"/>', '', 'is refused: it needs the operator Evil of extension'),
        ('<layer type="Loop" version="opset5"><body/></layer>', '', 'is refused: one of its operators has a graph of its own'),
        (LAYER, BOMB, 'is refused: it defines entities of its own'),
        ('<layer xmlns="a" type="Evil" version="extension"/>', '', 'is refused: it has names of another namespace'),
        ('<layer type="Loop" version="opset5"><body xmlns="a"/></layer>', '', 'is refused: it has names of another namespace'),
    ],
)  # fmt: skip
def test_anything_else_is_refused(layers: str, head: str, text: str, tmp_path: Path) -> None:
    path = written(tmp_path, layers, head)
    with pytest.raises(CheckpointError) as caught:
        read_metadata(path)
    assert str(caught.value) == f'{path} {text}'


@pytest.mark.parametrize('encoding', ['utf-16', 'utf-16-le', 'utf-16-be'])
def test_entities_in_an_encoding_of_two_bytes_are_refused(encoding: str, tmp_path: Path) -> None:
    path = written(tmp_path, head=BOMB)
    path.write_bytes(path.read_text(encoding='utf-8').encode(encoding))
    with pytest.raises(CheckpointError, match=r'is (refused|not a model of OpenVINO)'):
        read_metadata(path)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r'm\.bin was not found'):
        read_metadata(written(tmp_path, weights=False))


def test_another_xml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'm.xml'
    path.write_text('<annotation><object/></annotation>')
    with pytest.raises(CheckpointError, match='is not a model of OpenVINO'):
        read_metadata(path)


@pytest.mark.extras
def test_attention_with_one_key_and_then_with_more_is_right() -> None:
    """With its own settings, OpenVINO 2026.4 runs the kernel for one key on the twelve: wrong by about 100."""
    openvino = pytest.importorskip('openvino')
    op = openvino.opset13
    query, key, value = (op.parameter([-1, *sides], openvino.Type.f32) for sides in ((-1, 32), (32, -1), (-1, 32)))
    attended = op.matmul(op.softmax(op.matmul(query, key, False, False), -1), value, False, False)
    run = openvino.Core().compile_model(openvino.Model([attended], [query, key, value]), 'CPU', SETTINGS)
    for queries, keys in ((64, 1), (825, 12)):
        q, k, v = (torch.randn(1, count, 32) for count in (queries, keys, keys))
        expected = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        found = run([q.numpy(), k.mT.contiguous().numpy(), v.numpy()])[0]
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-4)
