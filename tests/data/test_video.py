"""Telling videos, and reading their frames."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from seglight.data.video import extract_frames, is_video
from seglight.errors import DataError


def test_a_video_is_told_by_its_name() -> None:
    assert is_video(Path('clip.mp4'))
    assert is_video(Path('CLIP.MOV'))
    assert not is_video(Path('clip.png'))


def test_each_frame_is_an_image_and_none_is_written_twice(tmp_path: Path) -> None:
    video = cv2.VideoWriter(str(tmp_path / 'clip.avi'), cv2.VideoWriter.fourcc(*'MJPG'), 5, (32, 16))
    for value in (0, 120, 240):
        video.write(np.full((16, 32, 3), value, np.uint8))
    video.release()
    assert extract_frames(tmp_path / 'clip.avi', tmp_path) == 3
    frames = sorted(tmp_path.glob('*.jpg'))
    assert [path.name for path in frames] == [f'frame_00000{number}.jpg' for number in (1, 2, 3)]
    means = [np.asarray(cv2.imread(str(path))).mean() for path in frames]
    assert means == pytest.approx([0, 120, 240], abs=4)
    frames[0].write_bytes(b'kept')
    assert extract_frames(tmp_path / 'clip.avi', tmp_path) == 3
    assert frames[0].read_bytes() == b'kept'


def test_what_is_missing_or_no_video_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'The video .*clip\.mp4 does not exist'):
        extract_frames(tmp_path / 'clip.mp4', tmp_path)
    (tmp_path / 'clip.mp4').write_text('no video')
    with pytest.raises(DataError, match='cannot be decoded by OpenCV'):
        extract_frames(tmp_path / 'clip.mp4', tmp_path)
