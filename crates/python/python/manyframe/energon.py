"""Samples for Megatron-Energon, which must be installed: ``pip install megatron-energon``.

``DATASET/webdataset`` is a dataset that Energon reads. Its samples are crude; a task encoder takes them apart with this cooker::

    class Encoder(DefaultTaskEncoder):
        cookers = [manyframe.energon.cooker]
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from megatron.energon import Cooker, Sample, basic_sample_keys, stateless


@dataclass
class Conversation(Sample):
    """A sample of a dataset."""

    #: Its images and frames, in the order of the placeholders: as the encoder's decoder gives them, or bytes without one.
    images: list[Any]
    #: Its video files, in the same order; none unless the dataset was built with ``video.deliver = "clip"``.
    videos: list[Any]
    #: Who speaks (``from``) and what is said (``value``), with ``<image>`` where an image is.
    turns: list[dict[str, str]]
    #: Everything else that ``KEY.json`` says: ``prompt``, ``label_spans``, ``visuals``, ``num_tokens``, ``source`` …
    record: dict[str, Any]


@stateless
def cook(sample: dict[str, Any]) -> Conversation:
    """A conversation of the members of a tar."""
    record = sample["json"]
    if not isinstance(record, dict):
        record = json.loads(record)
    images, videos = ([sample[name] for name in record.get(key, [])] for key in ("images", "videos"))
    return Conversation(**basic_sample_keys(sample), images=images, videos=videos, turns=record["conversations"], record=record)


cooker = Cooker(cook)
