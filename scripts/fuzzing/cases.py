"""The damaged inputs, and the commands that they are passed to."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

import seglight
from fuzzing.corpus import CLASSES, Corpus, from_python
from fuzzing.folds_cases import damaged_folds
from fuzzing.label_cases import damaged_labels, damaged_yaml
from fuzzing.mutations import mutate_bytes, mutate_value, nasty
from fuzzing.weight_cases import damaged_zip, old_format, safetensors, weight_words


class Case(NamedTuple):
    """The words of a command whose files were written to a folder.

    Attributes:
        argv: the words.
        allowed: beginnings of faults that are none: a config is trusted and may name modules to import and files to
            read, and a list of images or a file of labelme may name any file to read as an image.
        call: what to call in place of the command line, which `argv` then describes.
    """

    argv: list[str]
    allowed: tuple[str, ...] = ()
    call: Callable[[], int] | None = None


#: Writes damaged files to a folder and returns the command that takes them.
Maker = Callable[[Corpus, Path, random.Random], Case]


def make_case(kind: str, corpus: Corpus, folder: Path, canary: Path, rng: random.Random) -> Case:
    """Write the files of an input to a folder, with `{canary}` in them replaced by the canary's folder."""
    case = KINDS[kind][0](corpus, folder, rng)
    for path in folder.iterdir():
        data = path.read_bytes() if path.is_file() else b''
        if b'{canary}' in data and path.suffix in ('.yaml', '.json', '.py', '.txt', '.csv'):
            path.write_bytes(data.replace(b'{canary}', str(canary).encode()))
    return case


def _save(entries: Any, path: Path) -> None:
    """Write entries with torch; values that it does not support become text."""
    buffer = io.BytesIO()
    try:
        torch.save(entries, buffer)
    except (RecursionError, UnicodeEncodeError, TypeError):
        buffer = io.BytesIO()
        torch.save(repr(type(entries)), buffer)
    path.write_bytes(buffer.getvalue())


def _yaml(value: Any) -> bytes:
    """Return a nested value as YAML; values that it does not support become lists."""
    try:
        return yaml.dump(value, Dumper=yaml.CDumper, sort_keys=False).encode()
    except UnicodeEncodeError:  # for a lone surrogate, which the slow one escapes
        return yaml.dump(value, sort_keys=False).encode(errors='surrogatepass')
    except (RecursionError, yaml.YAMLError):
        return b'[' * 3000


def _checkpoint_case(path: str, corpus: Corpus, rng: random.Random, described: float = 0.5) -> Case:
    """Return one of the commands for a checkpoint, quick ones more often.

    Args:
        path: the checkpoint.
        corpus: what else the commands take.
        rng: makes the choice.
        described: the share of `info`, which reads the whole file but does not use its settings.
    """
    images = str(corpus.root / 'data/img_dir/test')
    if rng.random() < described:
        return Case(['info', path])
    if rng.random() < 0.6:
        image = corpus.root / 'images/colour.jpg'
        return Case(['seglight.load', path], call=from_python(lambda: seglight.load(path).predict(image)))
    commands = [
        *[['predict', f'--ckpt={path}', f'--input={images}']] * 3,
        ['validate', f'--ckpt={path}'],
        ['fit', f'--ckpt={path}', '--trainer.max_epochs=2'],
        ['fit', f'--config={corpus.root / "own.yaml"}', f'--load-from={path}', '--trainer.fast_dev_run=1'],
        ['export', path, 'out.pth'],
        ['soup', path, str(corpus.root / 'run/epoch_1.ckpt'), '--output=soup.ckpt'],
        ['info', path, '--config'],
        ['report', '.'],
        ['predict', f'--ckpt={path}', f'--input={images}', '--aug-test', '--submission', '--coco'],
    ]
    return Case(rng.choice(commands))


def _part(entries: dict[str, Any], optional: list[str], rng: random.Random) -> dict[str, Any]:
    """Return most entries without the optional ones, which take long to read and are seldom damaged in a useful way."""
    left_out = {name for name in optional if rng.random() < 0.8}
    return {name: value for name, value in entries.items() if name not in left_out}


def checkpoint_values(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Replace entries of a checkpoint."""
    entries = _part(corpus.checkpoint, ['exact_resume', 'environment'], rng)
    mutated = mutate_value({key: value for key, value in entries.items() if key != 'state_dict'}, rng)
    if isinstance(mutated, dict):
        mutated['state_dict'] = mutate_tensors(entries['state_dict'], rng)
    _save(_filled(mutated, folder), folder / 'a.ckpt')
    return _checkpoint_case('a.ckpt', corpus, rng)


def mutate_tensors(weights: dict[str, Any], rng: random.Random) -> Any:
    """Return weights with a tensor of another shape, type or memory, or something that is not one."""
    sound, weights = weights, dict(weights)
    for name in rng.sample(list(sound), rng.choice([0, 0, 1, 2])):
        tensor = sound[name]
        weights[rng.choice([name, name, f'module.{name}', 'x'])] = rng.choice(
            [
                tensor.new_zeros(1).expand(10**12),
                torch.zeros(()),
                torch.zeros(3, dtype=torch.complex64),
                torch.zeros((*tensor.shape, 1)),
                tensor.float() * float('nan'),
                tensor.to(torch.bfloat16),
                nasty(rng),
            ]
        )
    return weights


def checkpoint_config(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Replace values of the config in a checkpoint."""
    entries = _part(corpus.checkpoint, ['exact_resume', 'environment'], rng)
    config = {
        group: _part(inner, [key for key in inner if inner[key] is None], rng) if isinstance(inner, dict) else inner
        for group, inner in corpus.stored.items()
    }
    entries['config'] = _yaml(_filled(mutate_value(config, rng), folder)).decode(errors='surrogatepass')
    if rng.random() < 0.1:
        entries['config'] = mutate_bytes(entries['config'].encode(errors='replace'), rng).decode(errors='replace')
    _save(entries, folder / 'a.ckpt')
    return _checkpoint_case('a.ckpt', corpus, rng, described=0.2)


def _filled(value: Any, folder: Path) -> Any:
    """Return a nested value with `{canary}` replaced by the canary's folder, which is next to the input's."""
    if isinstance(value, str):
        return value.replace('{canary}', str(folder.parent / 'canary'))
    if isinstance(value, dict):
        return {key: _filled(inner, folder) for key, inner in value.items()}
    return [_filled(inner, folder) for inner in value] if isinstance(value, list) and len(value) < 1000 else value


def checkpoint_bytes(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Damage the bytes of a checkpoint."""
    (folder / 'a.ckpt').write_bytes(mutate_bytes(corpus.read('run/epoch_1.ckpt'), rng))
    return _checkpoint_case('a.ckpt', corpus, rng)


def mmseg_checkpoint(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Replace entries of a checkpoint of mmseg, or damage its bytes."""
    if rng.random() < 0.4:
        (folder / 'a.pth').write_bytes(mutate_bytes(corpus.read('mmseg.pth'), rng))
    else:
        entries = {**corpus.mmseg, 'meta': _filled(mutate_value(corpus.mmseg['meta'], rng), folder)}
        if isinstance(text := entries['meta'].get('config') if isinstance(entries['meta'], dict) else None, str):
            entries['meta']['config'] = mutate_bytes(text.encode(errors='replace'), rng).decode(errors='replace')
        _save(entries, folder / 'a.pth')
    return _checkpoint_case('a.pth', corpus, rng)


def soup(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Damage a soup, or its export, and let it vote with a sound checkpoint, be averaged with it, or be exported."""
    name = rng.choice(['soup.ckpt', 'soup.ckpt', 'soup.pth'])
    if name == 'soup.pth' or rng.random() < 0.2:
        (folder / name).write_bytes(mutate_bytes(corpus.read(name), rng))
    else:
        described = {key: value for key, value in corpus.soup.items() if key not in ('state_dict', 'environment')}
        mutated = mutate_value(described, rng) if rng.random() < 0.5 else described
        if isinstance(mutated, dict):
            mutated['state_dict'] = mutate_tensors(corpus.soup['state_dict'], rng)
        _save(_filled(mutated, folder), folder / name)
    (folder / 'sound.ckpt').write_bytes(corpus.read('run/epoch_1.ckpt'))
    pair = [name, 'sound.ckpt']
    rng.shuffle(pair)
    together = [f'--ckpt={path}' for path in pair]
    weights = rng.choice([[], [], ['2', '1'], ['1e-300', '1e300'], ['1', 'nan'], ['1']])
    images = [f'--input={corpus.root / "data/img_dir/test"}', '--output=out']
    words = [
        ['predict', *together, *(f'--ckpt_weights={each}' for each in [f'[{", ".join(weights)}]'] if weights), *images],
        ['validate', *together, '--report=false'],
        ['soup', *pair, '--output=out.ckpt', *(['--weights', *weights] if weights else [])],
        ['export', name, 'out.pth'],
        ['info', name],
    ]
    return Case(rng.choice(words))


def own_config(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Damage a config."""
    damage = rng.random()
    if damage < 0.6:
        data = _yaml(mutate_value(corpus.own, rng))
    elif damage < 0.9:
        data = mutate_bytes(corpus.read('own.yaml'), rng)
    else:
        data = damaged_yaml(corpus.read('own.yaml').decode(), rng)
    (folder / 'a.yaml').write_bytes(data)
    words = [['data', 'check', '--config=a.yaml']]
    if rng.random() < 0.4:
        words = [['fit', '--config=a.yaml', '--print_config']]
    if rng.random() < 0.15:
        words = [['fit', '--config=a.yaml', '--trainer.fast_dev_run=1', '--work-dir=run']]
    return Case(rng.choice(words), ('import', 'read'))


def mmseg_config(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Damage an mmseg config, which must never be executed."""
    text = corpus.read('mmseg.py').decode()
    hostile = ['9**9**9', "__import__('fuzz_canary')", "'x' * 10**12", '[0] * 10**12', '-' * 5000 + '1', '1 / 0']
    hostile += ["open('{canary}/secret')", '(' * 500, '[x for x in [1] * 10**9]', "dict(**{'a': 1}, a=2)", '1e400']
    hostile += ["'%s' % 1", "''.join(['a'])", 'lambda: 0', 'model', "f'{model}'", '*[1]', '...', "b'x'", '1 << 10**9']
    if rng.random() < 0.7:
        lines = text.splitlines()
        lines.insert(rng.randrange(len(lines) + 1), f'a{rng.randrange(9)} = {rng.choice(hostile)}')
        text = '\n'.join(lines)
    else:
        text = mutate_bytes(text.encode(), rng).decode(errors='replace')
    (folder / 'a.py').write_text(text)
    (folder / 'base.py').write_bytes(corpus.read('base.py'))
    zoo = f'--config={corpus.root / "own.yaml"}'
    return Case(['fit', zoo, '--model.zoo=a.py', '--print_config'])


def coco(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Damage a COCO file."""
    if rng.random() < 0.8:
        data = json.dumps(_filled(mutate_value(corpus.coco, rng), folder)).encode()
    else:
        data = mutate_bytes(corpus.read('coco.json'), rng)
    (folder / 'a.json').write_bytes(data)
    shutil.copytree(corpus.root / 'data/img_dir', folder / 'img_dir')  # which the file names
    source = {'type': 'CocoSource', 'ann_file': str(folder / 'a.json')}
    (folder / 'a.yaml').write_bytes(_yaml({**corpus.own, 'data': {**corpus.own['data'], 'train': source}}))
    checkpoint = f'--ckpt={corpus.root / "run/epoch_1.ckpt"}'
    words = [
        *[['data', 'check', '--config=a.yaml']] * 8,
        ['fit', '--config=a.yaml', '--trainer.fast_dev_run=1'],
        ['predict', checkpoint, '--input=a.json', '--output=out'],
    ]
    return Case(rng.choice(words))


def image(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Damage an image and predict it."""
    source = rng.choice(sorted((corpus.root / 'images').iterdir()))
    path = folder / f'a{source.suffix}'
    path.write_bytes(mutate_bytes(source.read_bytes(), rng))
    if rng.random() < 0.8:
        return Case(['Predictor.predict', path.name], call=from_python(lambda: corpus.predictor.predict(path)))
    words = ['predict', f'--ckpt={corpus.root / "run/epoch_1.ckpt"}', f'--input=a{source.suffix}', '--output=out']
    return Case(words)


def pair(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Damage an image or a mask of a data set."""
    for kind, source in (('img_dir', 'images/colour.jpg'), ('ann_dir', 'mask.png')):
        (folder / kind / 'train').mkdir(parents=True)
        data = corpus.read(source)
        if (kind == 'img_dir') == (rng.random() < 0.5):
            data = mutate_bytes(data, rng)
        (folder / kind / 'train' / f'a{Path(source).suffix}').write_bytes(data)
    (folder / 'a.yaml').write_bytes(_yaml({'data': {'root': '.', 'classes': CLASSES, 'val': 'train', 'test': 'train'}}))
    return Case(['data', 'check', '--config=a.yaml'])


def submission(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Damage a submission and let it vote."""
    (folder / 'a.csv').write_bytes(mutate_bytes(corpus.read('a.csv'), rng))
    return Case(['vote', 'a.csv', str(corpus.root / 'a.csv'), '--output=out.csv'])


def weights(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Damage weights and convert them."""
    suffix = rng.choice(['.pth', '.safetensors', '.npz'])
    path = folder / f'a{suffix}'
    if suffix == '.pth' and rng.random() < 0.5:
        _save(_filled(mutate_tensors(torch.load(corpus.root / 'weights.pth')['state_dict'], rng), folder), path)
    else:
        path.write_bytes(mutate_bytes(corpus.read(f'weights{suffix}'), rng))
    family = rng.choice(['swin', 'swin', 'swin', 'convnext', 'mit', 'vit'])
    return Case(['convert', family, path.name, 'out.pth'])


def image_list(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Write a list of images, or the split of an mmseg data set, with names outside their folder."""
    lines = [
        '0000',
        '0001',
        '../../canary/photo',
        '/etc/passwd',
        str(folder.parent / 'canary/photo'),
        'a\0b',
        '\x1b[1m',
    ]
    lines += ['', '.', '..', '0000.jpg', 'x' * 300, '0000 0001', '-', '~', '{canary}/photo', 'nöthing']
    is_split = rng.random() < 0.5
    sound = ['0000', '0001'] if is_split else [f'img_dir/test/{number:04}.jpg' for number in range(2)]
    text = '\n'.join([*sound, *rng.sample(lines, rng.choice([0, 0, 1, 2]))])
    shutil.copytree(corpus.root / 'data/img_dir', folder / 'img_dir')  # which a list names
    (folder / 'a.txt').write_bytes(mutate_bytes(text.encode(), rng) if rng.random() < 0.3 else text.encode())
    words = ['predict', f'--ckpt={corpus.root / "run/epoch_1.ckpt"}', '--output=out']
    source = {'img_dir': 'img_dir/test', 'split': str(folder / 'a.txt')}
    test = rng.choice([{'type': 'FolderSource', **source}, {'type': 'PascalVOCDataset', **source}])
    if is_split:
        return Case([*words, f'--data.test={json.dumps(test)}'])
    return Case([*words, '--input=a.txt'], ('read',))


def weight_file(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Write a file of weights in a damaged zip, in an old format, or as safetensors."""
    write = rng.choice([damaged_zip, damaged_zip, old_format, safetensors])
    words, call = weight_words(write(corpus, folder, rng)[0], corpus, rng)
    return Case(words, call=call)


def labels(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Damage labels of labelme, YOLO polygons, or a label map."""
    source = _filled(damaged_labels(corpus, folder, rng), folder)
    data = {'root': str(folder), 'classes': CLASSES, 'val': source, 'train': source, 'test': source}
    (folder / 'a.yaml').write_bytes(_yaml({'data': data}))
    return Case(['data', 'check', '--config=a.yaml'], ('read',))


def folds(corpus: Corpus, folder: Path, rng: random.Random) -> Case:
    """Damage a file in the folder of a training on folds, whose lists may name any file to read as an image."""
    return Case(damaged_folds(corpus.root, folder, rng, _filled), ('read',))


#: The generator of each kind of input, and its share.
KINDS: dict[str, tuple[Maker, float]] = {
    'checkpoint: entries': (checkpoint_values, 14),
    'checkpoint: config': (checkpoint_config, 22),
    'checkpoint: bytes': (checkpoint_bytes, 6),
    'checkpoint of mmseg': (mmseg_checkpoint, 8),
    'soup, ensemble': (soup, 5),
    'config': (own_config, 12),
    'config of mmseg': (mmseg_config, 6),
    'COCO file': (coco, 10),
    'image': (image, 6),
    'image and mask': (pair, 6),
    'list of images': (image_list, 4),
    'submission': (submission, 3),
    'weights': (weights, 3),
    'zip, pickle, safetensors': (weight_file, 14),
    'labels': (labels, 6),
    'folder of folds': (folds, 6),
}
