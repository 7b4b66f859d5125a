"""The loaders of PyTorch over packs: workers that are forked and spawned, and stateful ones."""

import itertools
import multiprocessing
import os
import random
import unittest
import warnings

import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import manyframe

LOCATION = os.environ["MANYFRAME_PACKS"]
# Of Python 3.12 and later, about threads of PyTorch itself; and of loaders, about more workers than cores.
warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", message=".*worker processes")


def numbers(packs):
    return [pack["pack"] for pack in packs]


class Loaders(unittest.TestCase):
    def setUp(self):
        self.dataset = manyframe.PackDataset(LOCATION, shuffle=True, seed=9, tensors="torch")
        self.whole = numbers(manyframe.PackDataset(LOCATION, shuffle=True, seed=9))

    def test_every_kind_of_worker_gives_the_packs_in_order(self):
        for packs in (self.dataset, self.dataset.iterable()):
            for workers, method in ((0, None), (1, "fork"), (2, "fork"), (3, "spawn")):
                loader = DataLoader(packs, batch_size=None, num_workers=workers, multiprocessing_context=method)
                self.dataset.set_epoch(1)
                self.dataset.set_epoch(0)
                self.assertEqual(numbers(loader), self.whole, (workers, method))

    def test_workers_that_are_kept_follow_the_epochs(self):
        epochs = []
        for epoch in range(4):
            alone = manyframe.PackDataset(LOCATION, shuffle=True, seed=9)
            alone.set_epoch(epoch)
            epochs.append(numbers(alone))
        self.assertGreater(len(set(map(tuple, epochs))), 1)
        for packs, method in itertools.product((self.dataset, self.dataset.iterable()), ("fork", "spawn")):
            self.dataset.set_epoch(0)
            loader = DataLoader(
                packs, batch_size=None, num_workers=2, multiprocessing_context=method, persistent_workers=True
            )
            for epoch in (0, 1, 3, 2):
                self.dataset.set_epoch(epoch)
                found = list(loader)
                self.assertEqual(numbers(found), epochs[epoch], (method, epoch))
                self.assertEqual({pack["state"]["epoch"] for pack in found}, {epoch})
            del loader

    def test_the_loop_of_the_documentation_goes_on_after_a_state(self):
        self.dataset.load_state_dict({"epoch": 1, "packs": 2})
        with self.assertRaisesRegex(ValueError, "range\\(dataset.epoch"):
            self.dataset.set_epoch(0)
        seen = []
        for epoch in range(self.dataset.epoch, 3):
            self.dataset.set_epoch(epoch)
            seen.append(numbers(DataLoader(self.dataset, batch_size=None, num_workers=2)))
        whole = len(self.whole)
        self.assertEqual([len(packs) for packs in seen], [whole - 2, whole])

    def test_tensors_share_the_memory_of_arrays(self):
        pack = self.dataset[0]
        self.assertEqual((pack["input_ids"].dtype, pack["cu_seqlens"].dtype), (torch.int64, torch.int32))
        self.assertTrue(all(image.dtype == torch.uint8 for image in pack["images"]))
        array = next(pack["images"][0] for pack in manyframe.PackDataset(LOCATION) if pack["images"])
        self.assertEqual(torch.from_dlpack(array).data_ptr(), array.ctypes.data)

    def test_training_resumes_with_other_numbers_of_ranks_and_workers(self):
        generator = random.Random(3)
        for _ in range(20):
            state, seen = {"epoch": 0, "packs": 0}, []
            while state["packs"] < len(self.whole):
                world, workers, steps = generator.randint(1, 3), generator.randint(0, 2), generator.randint(1, 4)
                ranks = []
                for rank in range(world):
                    dataset = manyframe.PackDataset(LOCATION, rank, world, shuffle=True, seed=9, images="none")
                    dataset.load_state_dict(state)
                    packs = dataset.iterable() if generator.random() < 0.5 else dataset
                    ranks.append(iter(DataLoader(packs, batch_size=None, num_workers=workers)))
                for _ in range(steps):
                    step = [pack for rank in ranks if (pack := next(rank, None)) is not None]
                    seen += numbers(step)
                    state = step[0]["state"] if step else state
                del ranks
            self.assertEqual(seen, self.whole)

    def test_a_stateful_loader_goes_on(self):
        for packs in (self.dataset, self.dataset.iterable()):
            for workers in (0, 2):
                self.dataset.load_state_dict({"epoch": 0, "packs": 0})
                loader = StatefulDataLoader(packs, batch_size=None, num_workers=workers)
                iterator = iter(loader)
                seen = numbers(next(iterator) for _ in range(3))
                state = loader.state_dict()
                del iterator
                self.dataset.load_state_dict({"epoch": 0, "packs": 0})
                loader = StatefulDataLoader(packs, batch_size=None, num_workers=workers)
                loader.load_state_dict(state)
                self.assertEqual(seen + numbers(loader), self.whole, (type(packs), workers))


if __name__ == "__main__":
    multiprocessing.freeze_support()
    unittest.main()
