"""Extracting the frames of a video."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import cv2

from seglight.data.formats import UnreadableError, open_regular, reading
from seglight.errors import DataError
from seglight.files import write_atomically

VIDEO_SUFFIXES = frozenset({'.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpg', '.mpeg', '.webm'})

#: First bytes of AVI, Matroska and WebM, MPEG streams, and MP4 and QuickTime. FFmpeg goes by the content, so it would
#: take a list of other files (ffconcat) or an address (SDP) for a video of any suffix, and open what that names.
_SIGNATURES = re.compile(
    rb'RIFF....AVI |\x1aE\xdf\xa3|\0\0\x01[\xb3\xba]|G.{187}G|....(?:ftyp|moov|mdat|wide|free|skip)', re.DOTALL
)

os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')  # errors report failures


def is_video(path: Path) -> bool:
    """Return whether the suffix of a path is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def extract_frames(path: Path, folder: Path) -> Path:
    """Write every frame of a video as `frame_000001.jpg` and so on, to a folder that no other video uses.

    Args:
        path: the video.
        folder: the parent of that folder.

    Returns:
        The folder of the frames.

    Raises:
        DataError: if the file is missing, not a video, or OpenCV cannot decode it.
    """
    with reading(path, 'The video '), open_regular(path) as file:
        if not _SIGNATURES.match(file.read(189)):
            raise UnreadableError('it is damaged or not a video; convert it, for example to H.264 in .mp4')
        status = os.fstat(file.fileno())
    identity = f'{path.absolute()} {status.st_size} {status.st_mtime_ns}'
    frames = folder / hashlib.blake2b(os.fsencode(identity), digest_size=4).hexdigest()
    video = cv2.VideoCapture(str(path))
    count = 0
    try:
        while True:
            found, frame = video.read()
            if not found:
                break
            count += 1
            _, data = cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, 95])
            write_atomically(frames / f'frame_{count:06}.jpg', data.tobytes())
    finally:
        video.release()
    if not count:
        raise DataError(f'The video {path} cannot be decoded by OpenCV; convert it, for example to H.264 in .mp4')
    return frames
