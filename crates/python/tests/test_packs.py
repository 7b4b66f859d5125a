"""Packs: contents, order, ranks, resumption, sequence parallelism."""

import gc
import importlib.util
import io
import multiprocessing
import os
import pathlib
import pickle
import random
import resource
import threading
import unittest

import numpy
from PIL import Image

import manyframe

LOCATION = os.environ["MANYFRAME_PACKS"]
DIVIDED = os.environ["MANYFRAME_DIVIDED"]


def numbers(dataset):
    return [pack["pack"] for pack in dataset]


class Contents(unittest.TestCase):
    def test_each_pack_is_that_of_the_index(self):
        dataset = manyframe.Dataset(LOCATION)
        index = {}
        import pyarrow.parquet

        for row in pyarrow.parquet.read_table(io.BytesIO(dataset.read_file(dataset.manifest["pack"]["path"]))).to_pylist():
            index[row["pack"]] = row
        seen = []
        for pack in manyframe.PackDataset(LOCATION):
            row = index[pack["pack"]]
            self.assertEqual(pack["sample_ids"], row["samples"])
            self.assertEqual(pack["cu_seqlens"].tolist()[: len(row["cu_seqlens"])], row["cu_seqlens"])
            self.assertEqual(pack["cu_images"].tolist(), row["cu_images"])
            self.assertEqual(len(pack["input_ids"]), row["padded_tokens"])
            self.assertEqual(pack["cu_seqlens"][-1], row["padded_tokens"])
            self.assertEqual((pack["mm_token_type_ids"] > 0).sum(), row["visual_tokens"])
            seen += pack["sample_ids"]
            images = iter(pack["images"])
            for number, id in enumerate(pack["sample_ids"]):
                sample = dataset[id]
                start, end = pack["cu_seqlens"][number : number + 2]
                self.assertEqual(pack["position_ids"][start:end].tolist(), list(range(end - start)))
                labels, shifted = pack["labels"][start:end], pack["shift_labels"][start:end]
                self.assertEqual(shifted.tolist(), labels[1:].tolist() + [-100])
                answer = labels[labels != -100]
                self.assertTrue(numpy.array_equal(answer, pack["input_ids"][start:end][labels != -100]))
                self.assertGreater(len(answer), 0)
                if sample.input_ids is not None:
                    whole = pack["input_ids"][start:end]
                    text = whole[whole != -200][: sample.text_tokens]
                    self.assertEqual(text.tolist(), sample.input_ids[sample.input_ids != -200].tolist())
                for image in sample.images:
                    pillow = numpy.asarray(Image.open(io.BytesIO(image.bytes)).convert("RGB"))
                    self.assertTrue(numpy.array_equal(next(images), pillow))
            self.assertIsNone(next(images, None))
        self.assertEqual(sorted(seen), sorted(sample.id for sample in dataset))

    def test_images_come_in_other_forms(self):
        for pixels, encoded, none in zip(
            manyframe.PackDataset(LOCATION), manyframe.PackDataset(LOCATION, images="encoded"),
            manyframe.PackDataset(LOCATION, images="none"), strict=True,
        ):
            self.assertNotIn("images", none)
            for array, file in zip(pixels["images"], encoded["images"], strict=True):
                self.assertEqual((array.dtype, array.flags.writeable), (numpy.uint8, True))
                self.assertEqual(Image.open(io.BytesIO(file)).size, array.shape[1::-1])

    def test_values_are_those_of_clip_after_padding_to_a_square(self):
        mean = numpy.array([0.48145466, 0.4578275, 0.40821073], numpy.float32)
        deviation = numpy.array([0.26862954, 0.26130258, 0.27577711], numpy.float32)
        for pack, values in zip(
            manyframe.PackDataset(LOCATION), manyframe.PackDataset(LOCATION, images="values"), strict=True
        ):
            self.assertEqual(values["pixel_values"].shape, (len(pack["images"]), 3, 336, 336))
            for array, value in zip(pack["images"], values["pixel_values"]):
                image = Image.fromarray(array)
                long = max(image.size)
                square = Image.new("RGB", (long, long), (122, 116, 104))
                square.paste(image, ((long - image.width) // 2, (long - image.height) // 2))
                expected = numpy.asarray(square.resize((336, 336), Image.BICUBIC), numpy.float32) / 255
                expected = ((expected - mean) / deviation).transpose(2, 0, 1)
                self.assertLess(numpy.abs(expected - value).max(), 1e-5)


class Order(unittest.TestCase):
    def test_a_loop_and_numbers_agree(self):
        dataset = manyframe.PackDataset(LOCATION, shuffle=True, seed=5)
        by_number = [dataset[number]["pack"] for number in range(len(dataset))]
        self.assertEqual(numbers(dataset), by_number)
        self.assertEqual(sorted(by_number), list(range(dataset.num_packs)))

    def test_epochs_follow_each_other(self):
        dataset = manyframe.PackDataset(LOCATION, shuffle=True, seed=5)
        epochs = [numbers(dataset) for _ in range(8)]
        self.assertEqual(dataset.epoch, 8)
        self.assertEqual(len(set(map(tuple, epochs))) > 1, dataset.num_packs > 2)
        for epoch, order in enumerate(epochs):
            again = manyframe.PackDataset(LOCATION, shuffle=True, seed=5, threads=3, prefetch_bytes=1)
            again.set_epoch(epoch)
            self.assertEqual(numbers(again), order)

    def test_ranks_divide_an_epoch(self):
        whole = numbers(manyframe.PackDataset(LOCATION, shuffle=True))
        for world in (1, 2, 3, 5):
            ranks = [numbers(manyframe.PackDataset(LOCATION, rank, world, shuffle=True)) for rank in range(world)]
            self.assertEqual([ranks[n % world][n // world] for n in range(len(whole))], whole)
            dropped = [manyframe.PackDataset(LOCATION, rank, world, drop_last=True) for rank in range(world)]
            self.assertEqual({len(dataset) for dataset in dropped}, {len(whole) // world})

    def test_training_resumes_on_other_numbers_of_ranks(self):
        generator = random.Random(7)
        whole = numbers(manyframe.PackDataset(LOCATION, shuffle=True, seed=3))
        for _ in range(20):
            state, seen = {"epoch": 0, "packs": 0}, []
            while state["epoch"] == 0 and state["packs"] < len(whole):
                world = generator.randint(1, 4)
                ranks = []
                for rank in range(world):
                    dataset = manyframe.PackDataset(LOCATION, rank, world, shuffle=True, seed=3, images="none")
                    dataset.load_state_dict(pickle.loads(pickle.dumps(state)))
                    ranks.append(iter(dataset))
                for _ in range(generator.randint(1, 3)):
                    step = [next(rank, None) for rank in ranks]
                    step = [pack for pack in step if pack is not None]
                    if not step:
                        break
                    self.assertEqual(len({tuple(pack["state"].items()) for pack in step}), 1)
                    seen += [pack["pack"] for pack in step]
                    state = step[0]["state"]
            self.assertEqual(seen, whole)

    def test_the_state_of_a_loop_is_that_of_its_last_pack(self):
        dataset = manyframe.PackDataset(LOCATION, 0, 2)
        for pack in dataset:
            self.assertEqual(dataset.state_dict(), {**pack["state"], "packs": dataset.state_dict()["packs"]})
            self.assertIn(dataset.state_dict()["packs"] - pack["state"]["packs"], (0, 1))
        self.assertEqual(dataset.state_dict(), {"epoch": 1, "packs": 0})


class SequenceParallelism(unittest.TestCase):
    def test_another_number_of_ranks_is_refused_with_the_command_that_packs_for_it(self):
        with self.assertRaisesRegex(ValueError, "manyframe pack DATASET --set sequence_parallel=zigzag:3"):
            manyframe.PackDataset(DIVIDED, sequence_parallel=(0, 3))

    def test_ranks_have_their_part_and_together_all(self):
        whole = manyframe.PackDataset(DIVIDED)
        degree = {"zigzag:2": 2, "2d:2x2": 4}[whole._packs.get().sequence_parallel]
        parts = [manyframe.PackDataset(DIVIDED, sequence_parallel=(rank, degree)) for rank in range(degree)]
        for pack, *ranks in zip(whole, *parts, strict=True):
            self.assertEqual([part["pack"] for part in ranks], [pack["pack"]] * degree)
            self.assertEqual(len({len(part["input_ids"]) for part in ranks}), 1)
            for name in ("input_ids", "labels", "shift_labels", "position_ids", "mm_token_type_ids"):
                together = numpy.full_like(pack[name], -7)
                for part in ranks:
                    chunks = numpy.concatenate([numpy.arange(start, end) for start, end in part["chunks"]])
                    together[chunks] = part[name]
                self.assertTrue(numpy.array_equal(together, pack[name]), name)
            images = [image for part in ranks for image in part["images"]]
            self.assertEqual([image.tobytes() for image in images], [image.tobytes() for image in pack["images"]])
            for part in ranks:
                self.assertEqual(len(part["images"]), part["image_range"][1] - part["image_range"][0])
                self.assertEqual(part["cu_seqlens"].tolist(), pack["cu_seqlens"].tolist())

    def test_ranks_as_megatron_lays_them_out(self):
        path = pathlib.Path(__file__).parent.parent / "examples" / "megatron_ranks.py"
        spec = importlib.util.spec_from_file_location("megatron_ranks", path)
        example = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(example)
        whole = manyframe.PackDataset(DIVIDED, images="none")
        context = {"zigzag:2": 2, "2d:2x2": 4}[whole._packs.get().sequence_parallel]
        # Ranks 0 and 1 of a tensor-parallel pair have the same, and those of two data-parallel groups share the packs.
        ranks = [list(example.packs_of_rank(DIVIDED, rank, 4 * context, 2, context)) for rank in range(4 * context)]
        packs = [[pack["pack"] for pack in rank] for rank in ranks]
        num_each = whole.num_packs // 2
        self.assertEqual(packs[: 2 * context], [numbers(whole)[: 2 * num_each : 2]] * (2 * context))
        self.assertEqual(packs[2 * context :], [numbers(whole)[1 : 2 * num_each : 2]] * (2 * context))
        for first, second in zip(ranks[::2], ranks[1::2]):
            for left, right in zip(first, second):
                self.assertTrue(numpy.array_equal(left["input_ids"], right["input_ids"]))
                self.assertEqual(left["image_range"], right["image_range"])

    def test_a_group_of_another_size_is_refused(self):
        for group in ((0, 3), (0, 1)):
            with self.assertRaisesRegex(ValueError, "manyframe pack"):
                manyframe.PackDataset(DIVIDED, sequence_parallel=group)
        for group in ((2, 2), (-1, 2), (0, 0)):
            with self.assertRaisesRegex(ValueError, "no rank of a group"):
                manyframe.PackDataset(DIVIDED, sequence_parallel=group)

    def test_a_group_of_one_has_packs_that_are_not_divided(self):
        if manyframe.Dataset(LOCATION).manifest["pack"]["settings"].get("sequence_parallel") is not None:
            self.skipTest("the packs are divided")
        self.assertEqual(numbers(manyframe.PackDataset(LOCATION, sequence_parallel=(0, 1))), numbers(manyframe.PackDataset(LOCATION)))


def count(dataset, queue):
    queue.put(numbers(dataset))


class Processes(unittest.TestCase):
    def test_forked_and_spawned_processes_read_packs(self):
        dataset = manyframe.PackDataset(LOCATION)
        iterator = iter(dataset)
        next(iterator)
        for method in ("fork", "spawn"):
            context = multiprocessing.get_context(method)
            queue = context.SimpleQueue()
            process = context.Process(target=count, args=(dataset, queue))
            process.start()
            self.assertEqual(queue.get(), list(range(dataset.num_packs)))
            process.join(60)
            self.assertEqual(process.exitcode, 0)

    def test_a_loop_that_is_left_ends_its_threads(self):
        before = len(os.listdir("/proc/self/task"))
        dataset = manyframe.PackDataset(LOCATION, threads=4)
        for _ in dataset:
            break
        del _
        gc.collect()
        self.assertEqual(len(os.listdir("/proc/self/task")), before)

    def test_threads_share_a_dataset(self):
        dataset = manyframe.PackDataset(LOCATION)
        found = []
        threads = [threading.Thread(target=lambda: found.append(dataset[1]["pack"])) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, [dataset[1]["pack"]] * 8)

    def test_memory_stays_flat(self):
        dataset = manyframe.PackDataset(LOCATION, images="values", prefetch_bytes=8 << 20)
        for _ in range(3):
            numbers(dataset)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(8):
            numbers(dataset)
        self.assertLess(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, 20 << 10)


if __name__ == "__main__":
    multiprocessing.freeze_support()
    unittest.main()
