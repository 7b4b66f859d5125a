"""The cooker for Megatron-Energon gives every sample."""

import os
import unittest
import warnings

from megatron.energon import DefaultTaskEncoder, WorkerConfig, get_savable_loader, get_train_dataset

import manyframe
import manyframe.energon

LOCATION = os.environ["MANYFRAME_DATASET"]
warnings.filterwarnings("ignore")


class Encoder(DefaultTaskEncoder):
    cookers = [manyframe.energon.cooker]

    def batch(self, samples):
        return samples


class Undecoded(Encoder):
    decoder = None


def cooked(encoder, workers=0):
    dataset = get_train_dataset(
        os.path.join(LOCATION, "webdataset"), batch_size=1, task_encoder=encoder, repeat=False,
        worker_config=WorkerConfig.default_worker_config(workers), shuffle_buffer_size=None, max_samples_per_sequence=None,
    )
    return {sample.__key__: sample for batch in get_savable_loader(dataset) for sample in batch}


class Cooker(unittest.TestCase):
    def test_every_sample_has_its_turns_and_images(self):
        dataset = manyframe.Dataset(LOCATION)
        samples = cooked(Undecoded())
        self.assertEqual(set(samples), {sample.id for sample in dataset})
        for sample in dataset:
            found = samples[sample.id]
            self.assertEqual([turn["value"] for turn in found.turns], [content for _, content in sample.messages])
            self.assertEqual([bytes(image) for image in found.images], [image.bytes for image in sample.images])
            self.assertEqual([bytes(video) for video in found.videos], [video.bytes for video in sample.videos])
            self.assertEqual((found.record["num_tokens"], found.record["prompt"]), (sample.num_tokens, sample.prompt))

    def test_images_are_decoded_in_workers(self):
        samples = cooked(Encoder(), workers=2)
        for sample in manyframe.Dataset(LOCATION):
            shapes = [tuple(image.shape) for image in samples[sample.id].images]
            self.assertEqual(shapes, [(3, image.height, image.width) for image in sample.images])


if __name__ == "__main__":
    unittest.main()
