"""The embedded data set."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglight.config.files import SHIPPED, load_config
from seglight.data import demo


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    counts = {'train': 2, 'val': 1, 'test': 1}
    for name, seed in (('a', 0), ('b', 0), ('c', 1)):
        demo.generate(tmp_path / name, seed, counts, size=48)
    files = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob('*.*')} for n in 'abc']
    assert files[0] == files[1]
    assert len(set(files[0].values())) == 7  # four images, three masks, all different
    assert not set(files[0].values()) & set(files[2].values())


def test_every_class_of_the_config_occurs_often_and_none_beside_it() -> None:
    masks = [demo.draw_scene(np.random.default_rng((0, 0, index)), demo.SIZE)[1] for index in range(60)]
    classes = load_config(SHIPPED / 'datasets' / 'trash.yaml').values['data']['classes']
    assert classes == ['Background', *demo.MATERIALS]
    images_with = np.array([[label in mask for label in range(256)] for mask in masks]).sum(0)
    assert (images_with[1:11] >= 10).all()
    assert images_with[11:].sum() == 0


def test_colour_alone_does_not_tell_the_classes(data_root: Path) -> None:
    """The best guess from a pixel's colour, learned on train, is far from the truth on val."""
    table = np.zeros((4096, 11), dtype=int)

    def pixels(split: str) -> tuple[np.ndarray, np.ndarray]:
        pairs = [
            (np.asarray(Image.open(path)) // 16, np.asarray(Image.open(data_root / f'ann_dir/{split}/{path.stem}.png')))
            for path in sorted((data_root / 'img_dir' / split).glob('*.jpg'))
        ]
        colours = np.stack([image for image, _ in pairs]).reshape(-1, 3) @ [256, 16, 1]
        return colours, np.stack([mask for _, mask in pairs]).ravel()

    np.add.at(table, pixels('train'), 1)
    colours, labels = pixels('val')
    guess = table.argmax(1)[colours]
    objects = labels > 0
    assert (guess[objects] == labels[objects]).mean() < 0.5


def test_it_is_made_once_and_whole(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        demo, 'generate', lambda root: (root / 'half').touch() or (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        demo.demo_folder()
    cache = workspace.parent / 'cache' / 'seglight'
    assert list(cache.iterdir()) == []
    calls: list[Path] = []

    def generate(root: Path) -> None:
        calls.append(root)
        (root / 'whole').touch()

    monkeypatch.setattr(demo, 'generate', generate)
    assert demo.demo_folder() == demo.demo_folder() == cache / f'demo-v{demo.VERSION}'
    assert len(calls) == 1
    assert [path.name for path in demo.demo_folder().iterdir()] == ['whole']
