"""A file is complete only for the images that it was written for."""

from pathlib import Path

from seglight.noted_images import has_images, note_images


def test_a_file_is_complete_for_its_own_images_in_their_order(tmp_path: Path) -> None:
    target = tmp_path / 'a.csv'
    note_images(target, ['a', 'b'])
    assert not has_images(target, ['a', 'b'])
    target.write_text('')
    assert has_images(target, ['a', 'b'])
    assert not any(has_images(target, names) for names in (['a'], ['b', 'a'], ['a', 'b', 'c'], ['ab'], []))
    assert not has_images(tmp_path / 'b.csv', ['a', 'b'])
