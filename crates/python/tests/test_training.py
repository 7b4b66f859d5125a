"""The example of a training loop has the losses that `manyframe validate` measured of the same samples."""

import io
import json
import os
import pathlib
import subprocess
import sys
import unittest

import pyarrow.parquet

import manyframe

LOCATION = os.environ["MANYFRAME_PACKS"]
MODEL = os.environ["MANYFRAME_MODEL"]


class Training(unittest.TestCase):
    def setUp(self):
        dataset = manyframe.Dataset(LOCATION)
        table = json.loads(dataset.read_file("validation.json"))["table"]["path"]
        rows = pyarrow.parquet.read_table(io.BytesIO(dataset.read_file(table))).to_pylist()
        self.measured = {row["id"]: row["loss_mean"] for row in rows}

    def losses(self, *arguments):
        example = pathlib.Path(__file__).parent.parent / "examples" / "train.py"
        command = [sys.executable, str(example), LOCATION, MODEL, *arguments]
        # Threads of PyTorch wait for each other in a loop, which takes long where other programs run.
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        lines = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.splitlines()
        return {row["id"]: row["loss"] for row in map(json.loads, lines)}

    def test_without_learning_losses_are_those_of_validate(self):
        losses = self.losses("1000", "0")
        self.assertEqual(losses.keys(), self.measured.keys())
        for id, loss in losses.items():
            self.assertAlmostEqual(loss, self.measured[id], delta=1e-4)

    def test_the_first_step_is_before_learning_and_the_next_ones_are_not(self):
        losses = list(self.losses("3", "0.01").items())
        self.assertAlmostEqual(losses[0][1], self.measured[losses[0][0]], delta=1e-4)
        self.assertLess(losses[-1][1], self.measured[losses[-1][0]] - 0.01)


if __name__ == "__main__":
    unittest.main()
