"""The frames of a video as image files."""

from __future__ import annotations

from pathlib import Path

import cv2

from seglight.errors import DataError
from seglight.files import write_atomically

VIDEO_SUFFIXES = frozenset({'.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpg', '.mpeg', '.webm'})


def is_video(path: Path) -> bool:
    """Tell whether a path is a video by its suffix."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def extract_frames(path: Path, folder: Path) -> int:
    """Write every frame of a video as `frame_000001.jpg` and so on; those that are there stay.

    Returns:
        The number of frames.

    Raises:
        DataError: if the file is missing or OpenCV cannot decode it.
    """
    if not path.is_file():
        raise DataError(f'The video {path} does not exist')
    video = cv2.VideoCapture(str(path))
    count = 0
    try:
        while True:
            there, frame = video.read()
            if not there:
                break
            count += 1
            target = folder / f'frame_{count:06}.jpg'
            if not target.exists():
                _, data = cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, 95])
                write_atomically(target, data.tobytes())
    finally:
        video.release()
    if not count:
        raise DataError(f'The video {path} cannot be decoded by OpenCV; convert it, for example to H.264 in .mp4')
    return count
