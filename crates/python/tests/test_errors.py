"""What cannot be read is named."""

import os
import unittest

import manyframe

UNPACKED = os.environ["MANYFRAME_UNPACKED"]


class Errors(unittest.TestCase):
    def test_a_place_without_a_dataset(self):
        with self.assertRaisesRegex(manyframe.DatasetError, "/nowhere.*manifest.json"):
            len(manyframe.Dataset("/nowhere"))
        with self.assertRaisesRegex(manyframe.DatasetError, "ftp://"):
            len(manyframe.Dataset("ftp://host/name"))

    def test_a_dataset_without_packs(self):
        with self.assertRaisesRegex(manyframe.DatasetError, "manyframe pack"):
            manyframe.PackDataset(UNPACKED)

    def test_an_id_of_several_samples(self):
        dataset = manyframe.Dataset(UNPACKED)
        with self.assertRaisesRegex(manyframe.DatasetError, "r0"):
            dataset["r0"]
        self.assertIn("r0", dataset)
        self.assertNotIn("r1", dataset)

    def test_arguments_that_mean_nothing(self):
        for arguments in ({"rank": 2, "world_size": 2}, {"images": "jpeg"}, {"tensors": "jax"}):
            with self.assertRaises((ValueError, manyframe.DatasetError)):
                manyframe.PackDataset(UNPACKED, **arguments)


if __name__ == "__main__":
    unittest.main()
