"""Multi-image instruction datasets for vision-language models: reading them, and training on their packs.

``Dataset`` reads samples and the account of all records; ``PackDataset`` gives training sequences to a training loop. Datasets
are built by the command ``manyframe``, which is installed with this package.
"""

from ._dataset import Dataset, Ledger
from ._native import DatasetError, Image, Sample, Video, __version__
from ._pack import Pack, State
from ._packs import PackDataset

__all__ = ["Dataset", "DatasetError", "Image", "Ledger", "Pack", "PackDataset", "Sample", "State", "Video", "__version__"]
