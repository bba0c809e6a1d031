"""JSON files of annotations: reading with bounded size and depth, and detecting their format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seglight.data.sources.paths import read_bounded
from seglight.errors import DataError
from seglight.plain_text import load_json

#: Maximum bytes of a file with the annotations of a data set, and of a single image.
MAX_BYTES, MAX_BYTES_PER_IMAGE = 4 << 30, 256 << 20

_DATUMARO = 'or convert it by `datum convert` of Datumaro'

#: Formats that the source at hand cannot read: name and cure.
UNREAD = {
    'panoptic': (
        'COCO panoptic annotations',
        "turn its PNG files into label masks (panopticapi's converters/panoptic2semantic_segmentation.py) "
        'for a FolderSource',
    ),
    'sa-1b': (
        'annotations of SA-1B, whose objects have no classes',
        f'give them classes and save them as COCO ({_DATUMARO[3:]}) for a CocoSource',
    ),
    'supervisely': ('a Supervisely annotation', 'export the project from Supervisely as COCO for a CocoSource'),
    'via': ('a project of the VGG Image Annotator', 'export its annotations as COCO for a CocoSource'),
    'label studio': ('an export of Label Studio', 'export it as COCO for a CocoSource, or as PNG for a FolderSource'),
    'cvat': (
        'an XML file of CVAT',
        "export the task as 'COCO 1.0' for a CocoSource, or as 'Segmentation mask 1.1' for a FolderSource with "
        f'labelmap, {_DATUMARO}',
    ),
    'voc': ('an XML file of Pascal VOC, which has boxes only', 'give the masks of SegmentationClass to a FolderSource'),
    'xml': ('an XML file', 'save its annotations as COCO for a CocoSource'),
    'geojson': ('a GeoJSON file', 'burn its polygons into masks (`gdal_rasterize`) for a FolderSource'),
    'coco': ('a COCO file', 'use {type: CocoSource, ann_file: ...}'),
    'labelme': ('an annotation of LabelMe', 'use {type: LabelMeSource, ann_dir: ...}'),
}


def read_json(path: Path, what: str = 'annotations', maximum: int = MAX_BYTES) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        what: name of its content, for errors.
        maximum: maximum size in bytes.

    Raises:
        DataError: if it cannot be read, is too large, or is not JSON.
    """
    data = read_bounded(path, f'The {what}', maximum)
    if path.suffix.lower() == '.xml' or data[:200].lstrip().startswith((b'<?xml', b'<annotation')):
        raise DataError(f'{path} is {unread(_xml_kind(data))}')
    try:
        return load_json(data, str(path), DataError)
    except MemoryError as error:
        raise DataError(f'{path} does not fit into memory; split it') from error


def unread(kind: str) -> str:
    """Return the name of a format and what to do about it."""
    name, cure = UNREAD[kind]
    return f'{name}, which this source cannot read: {cure}'


def kind_of_json(content: Any) -> str | None:
    """Return the key in `UNREAD` for the content of a JSON file, None if unknown."""
    if isinstance(content, list):
        first = content[0] if content else None
        return 'label studio' if isinstance(first, dict) and 'annotations' in first and 'data' in first else None
    if not isinstance(content, dict):
        return None
    annotations = content.get('annotations')
    first = annotations[0] if isinstance(annotations, list) and annotations else None
    if isinstance(content.get('images'), list):
        return 'panoptic' if isinstance(first, dict) and 'segments_info' in first else 'coco'
    if isinstance(content.get('image'), dict) and isinstance(annotations, list):
        return 'sa-1b'
    if isinstance(first, dict) and 'segments_info' in first:
        return 'panoptic'
    if isinstance(content.get('shapes'), list):
        return 'labelme'
    if isinstance(content.get('objects'), list) and 'size' in content:
        return 'supervisely'
    if '_via_img_metadata' in content or any(isinstance(each, dict) and 'regions' in each for each in content.values()):
        return 'via'
    if content.get('type') == 'FeatureCollection':
        return 'geojson'
    return None


def _xml_kind(data: bytes) -> str:
    """Return the key in `UNREAD` for an XML file, without parsing it."""
    start = data[:2000]
    if b'<annotations' in start:
        return 'cvat'
    return 'voc' if b'<annotation' in start else 'xml'
