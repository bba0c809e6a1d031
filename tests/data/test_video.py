"""Telling videos, and reading their frames."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from seglight.data.video import extract_frames, is_video
from seglight.errors import DataError


def write_video(path: Path, *greys: int, codec: str = 'MJPG') -> None:
    """Write a video with a frame of each grey value."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 5, (32, 16))
    for grey in greys:
        video.write(np.full((16, 32, 3), grey, np.uint8))
    video.release()


def test_a_video_is_told_by_its_name() -> None:
    assert is_video(Path('clip.mp4'))
    assert is_video(Path('CLIP.MOV'))
    assert not is_video(Path('clip.png'))


def test_each_frame_is_an_image(tmp_path: Path) -> None:
    write_video(tmp_path / 'clip.avi', 0, 120, 240)
    frames = sorted(extract_frames(tmp_path / 'clip.avi', tmp_path).iterdir())
    assert [path.name for path in frames] == [f'frame_00000{number}.jpg' for number in (1, 2, 3)]
    means = [np.asarray(cv2.imread(str(path))).mean() for path in frames]
    assert means == pytest.approx([0, 120, 240], abs=4)


def test_no_video_changes_the_frames_of_another(tmp_path: Path) -> None:
    folders = []
    for folder, greys in (('first', [0, 10, 20]), ('second', [240, 120])):
        (tmp_path / folder).mkdir()
        write_video(tmp_path / folder / 'clip.avi', *greys)
        folders.append(extract_frames(tmp_path / folder / 'clip.avi', tmp_path / 'frames'))
    write_video(tmp_path / 'first/clip.avi', 50)  # and the same file, written again
    os.utime(tmp_path / 'first/clip.avi', (1, 1))
    folders.append(extract_frames(tmp_path / 'first/clip.avi', tmp_path / 'frames'))
    means = [[np.asarray(cv2.imread(str(path))).mean() for path in sorted(folder.iterdir())] for folder in folders]
    assert means == [pytest.approx(greys, abs=4) for greys in ([0, 10, 20], [240, 120], [50])]


def test_what_is_missing_or_cannot_be_decoded_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r'The video .*clip\.mp4 does not exist'):
        extract_frames(tmp_path / 'clip.mp4', tmp_path)
    (tmp_path / 'clip.mp4').write_bytes(b'\0\0\0\x1cftypisom' + bytes(200))
    with pytest.raises(DataError, match='cannot be decoded by OpenCV'):
        extract_frames(tmp_path / 'clip.mp4', tmp_path)
    assert capfd.readouterr() == ('', '')  # FFmpeg is silent


@pytest.mark.parametrize(
    'content',
    [
        'ffconcat version 1.0\nfile other.avi\n',
        '#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nother.avi\n#EXT-X-ENDLIST\n',
        'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 26\n',
        'no video',
        '',
    ],
    ids=['ffconcat', 'hls', 'sdp', 'text', 'empty'],
)
def test_no_file_or_address_that_a_video_names_is_opened(content: str, tmp_path: Path) -> None:
    write_video(tmp_path / 'other.avi', 120)
    (tmp_path / 'clip.mp4').write_text(content)
    with pytest.raises(DataError, match=r'clip\.mp4 cannot be read: it is (damaged or not a video|empty)'):
        extract_frames(tmp_path / 'clip.mp4', tmp_path)
    assert not list(tmp_path.rglob('*.jpg'))


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='no pipes on this platform')
def test_a_pipe_is_no_video(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'clip.mp4')
    with pytest.raises(DataError, match='not a regular file'):
        extract_frames(tmp_path / 'clip.mp4', tmp_path)


@pytest.mark.parametrize(
    ('suffix', 'codec'), [('avi', 'MJPG'), ('mp4', 'mp4v'), ('mov', 'mp4v'), ('m4v', 'mp4v'), ('mkv', 'MJPG')]
)
def test_common_containers_are_read(suffix: str, codec: str, tmp_path: Path) -> None:
    write_video(tmp_path / f'clip.{suffix}', 0, 120, codec=codec)
    assert len(list(extract_frames(tmp_path / f'clip.{suffix}', tmp_path).iterdir())) == 2
