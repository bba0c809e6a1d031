"""Extracting the frames of a video."""

from __future__ import annotations

from pathlib import Path

import cv2

from seglight.errors import DataError
from seglight.files import write_atomically

VIDEO_SUFFIXES = frozenset({'.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpg', '.mpeg', '.webm'})


def is_video(path: Path) -> bool:
    """Return whether the suffix of a path is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def extract_frames(path: Path, folder: Path) -> int:
    """Write every frame of a video as `frame_000001.jpg` and so on; keep existing files.

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
            found, frame = video.read()
            if not found:
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
