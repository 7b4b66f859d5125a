"""Videos in packs, as files and as frames: the values of a model with patches, and their parts on sequence-parallel ranks."""

import json
import os
import unittest

import numpy
from PIL import Image

import manyframe

LOCATIONS = [os.environ["MANYFRAME_FRAMES"], os.environ["MANYFRAME_CLIPS"]]
SIDE, MERGE, FRAMES = 16, 2, 2


def patches(frames, grid):
    """The patches of an image or a video, as the processors of Qwen in transformers arrange them."""
    steps, rows, columns = grid
    resized = [numpy.asarray(Image.fromarray(frame).resize((columns * SIDE, rows * SIDE), Image.BICUBIC)) for frame in frames]
    resized += resized[-1:] * (steps * FRAMES - len(resized))
    values = (numpy.stack(resized).astype(numpy.float32) / 255 - 0.5) / 0.5
    shape = steps, FRAMES, rows // MERGE, MERGE, SIDE, columns // MERGE, MERGE, SIDE, 3
    return values.reshape(shape).transpose(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(steps * rows * columns, -1)


class Values(unittest.TestCase):
    def test_they_are_those_of_their_own_frames(self):
        for location in LOCATIONS:
            dataset, num_videos = manyframe.Dataset(location), 0
            whole = manyframe.PackDataset(location, images="values"), manyframe.PackDataset(location)
            for values, pixels in zip(*whole, strict=True):
                images, expected = iter(pixels["images"]), {"image": [], "video": []}
                for id in pixels["sample_ids"]:
                    for visual in json.loads(dataset[id].to_json())["visuals"]:
                        frames = [next(images) for _ in range(visual["num_images"])]
                        expected[visual["kind"]].append(patches(frames, visual["model"]["grid_thw"]))
                self.assertIsNone(next(images, None))
                num_videos += len(expected["video"])
                for kind, name in (("image", "pixel_values"), ("video", "pixel_values_videos")):
                    together = numpy.concatenate([numpy.empty((0, values[name].shape[1]), numpy.float32), *expected[kind]])
                    self.assertEqual(values[name].shape, together.shape)
                    # Two of 255 levels.
                    self.assertLess(numpy.abs(values[name] - together).max(initial=0), 4.01 / 255)
                self.assertEqual(values["rank_image_grid_thw"].tolist(), values["image_grid_thw"].tolist())
                self.assertEqual(values["rank_video_grid_thw"].tolist(), values["video_grid_thw"].tolist())
            self.assertEqual(num_videos, 6)

    def test_ranks_divide_them_between_steps(self):
        for location in LOCATIONS:
            whole = manyframe.PackDataset(location, images="values")
            parts = [manyframe.PackDataset(location, images="values", sequence_parallel=(rank, 4)) for rank in range(4)]
            num_divided = 0
            for pack, *ranks in zip(whole, *parts, strict=True):
                bounds = [0] + [rank["image_range"][1] for rank in ranks]
                self.assertEqual([rank["image_range"] for rank in ranks], [*zip(bounds, bounds[1:])])
                self.assertEqual(bounds[-1], pack["cu_images"][-1])
                for name, grid in (("pixel_values", "image_grid_thw"), ("pixel_values_videos", "video_grid_thw")):
                    values, grids = [rank[name] for rank in ranks], [rank[f"rank_{grid}"] for rank in ranks]
                    self.assertTrue(numpy.array_equal(numpy.concatenate(values), pack[name]))
                    self.assertEqual([rows.prod(axis=1).sum() for rows in grids], [len(part) for part in values])
                    self.assertEqual(sum(rows[:, 0].sum() for rows in grids), pack[grid][:, 0].sum())
                    num_divided += sum(map(len, grids)) - len(pack[grid])
                    self.assertEqual({tuple(rank[grid].flat) for rank in ranks}, {tuple(pack[grid].flat)})
            self.assertGreater(num_divided, 0)


if __name__ == "__main__":
    unittest.main()
