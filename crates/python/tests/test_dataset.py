"""Samples and ledger, by number and by id."""

import ast
import io
import json
import os
import pickle
import unittest

import numpy
from PIL import Image

import manyframe

LOCATION = os.environ["MANYFRAME_DATASET"]


class Samples(unittest.TestCase):
    def setUp(self):
        self.dataset = manyframe.Dataset(LOCATION)

    def test_numbers_ids_and_iteration_agree(self):
        samples = list(self.dataset)
        self.assertEqual(len(samples), len(self.dataset), 26)
        for number, sample in enumerate(samples):
            self.assertEqual(self.dataset[number].id, sample.id)
            for key in (sample.id, sample.id[:12], sample.upstream_id):
                self.assertEqual(self.dataset[key].prompt, sample.prompt)
            self.assertIn(sample.id, self.dataset)
        self.assertEqual(self.dataset[-1].id, samples[-1].id)
        self.assertEqual([sample.id for sample in self.dataset[2:5]], [sample.id for sample in samples[2:5]])

    def test_what_is_not_there_is_said(self):
        for number in (26, -27):
            with self.assertRaises(IndexError):
                self.dataset[number]
        for key in ("missing", "f" * 32):
            with self.assertRaises(KeyError):
                self.dataset[key]
            self.assertNotIn(key, self.dataset)

    def test_a_sample_has_its_texts_and_pixels(self):
        sample = self.dataset["several"]
        self.assertEqual([role for role, _ in sample.messages], ["user", "assistant"])
        self.assertEqual([(image.width, image.height) for image in sample.images], [(40, 60), (55, 60), (61, 60)])
        start, end = sample.label_spans[0]
        self.assertTrue(sample.prompt[start:end].startswith("The last."))
        self.assertIn("äöü", sample.prompt)
        record = json.loads(sample.to_json())
        self.assertEqual((record["id"], record["num_tokens"]), (sample.id, sample.num_tokens))
        for image, pixels in zip(sample.images, sample.pixels(), strict=True):
            self.assertEqual(image.format, "jpg")
            pillow = numpy.asarray(Image.open(io.BytesIO(image.bytes)).convert("RGB"))
            self.assertTrue(numpy.array_equal(pixels, pillow))
            self.assertTrue(numpy.array_equal(image.pixels(), pixels))

    def test_tokens_are_there_where_shards_hold_them(self):
        sample = self.dataset["text"]
        if sample.input_ids is not None:
            self.assertEqual(sample.input_ids.shape, sample.labels.shape)
            self.assertEqual(len(sample.input_ids), sample.num_tokens)

    def test_a_dataset_survives_pickling(self):
        copy = pickle.loads(pickle.dumps(self.dataset))
        self.assertEqual(copy[3].id, self.dataset[3].id)

    def test_files_and_the_manifest_are_at_hand(self):
        self.assertEqual(self.dataset.manifest["total"]["num_samples"], len(self.dataset))
        self.assertEqual(json.loads(self.dataset.read_file("manifest.json")), self.dataset.manifest)


class Ledger(unittest.TestCase):
    def setUp(self):
        self.ledger = manyframe.Dataset(LOCATION).ledger

    def test_numbers_ids_and_iteration_agree(self):
        rows = list(self.ledger)
        self.assertEqual(len(rows), len(self.ledger), 27)
        for number, row in enumerate(rows):
            self.assertEqual(self.ledger[number], row)
            self.assertEqual(self.ledger[row["id"]], row)
            self.assertEqual(self.ledger.find(row["upstream_id"]), [row])
        self.assertEqual(self.ledger["missing"]["status"], "rejected")
        with self.assertRaises(KeyError):
            self.ledger["nobody"]

    def test_an_id_of_several_records_is_an_error(self):
        self.ledger.find = lambda id: [self.ledger[0], self.ledger[1]]
        with self.assertRaisesRegex(manyframe.DatasetError, "names several records"):
            self.ledger["twice"]

    def test_tables_have_the_same_rows(self):
        dataset = manyframe.Dataset(LOCATION)
        self.assertEqual(dataset.to_arrow().column("id").to_pylist(), [row["id"] for row in self.ledger])
        self.assertEqual((dataset.to_pandas()["status"] == "delivered").sum(), len(dataset))


class Documentation(unittest.TestCase):
    def test_help_says_what_the_stubs_say(self):
        with open(os.path.join(os.path.dirname(manyframe.__file__), "_native.pyi")) as file:
            stubs = {stub.name: stub for stub in ast.parse(file.read()).body if isinstance(stub, ast.ClassDef)}
        for name in ("Sample", "Image", "Video"):
            members = [member for member in stubs[name].body if isinstance(member, ast.FunctionDef)]
            self.assertGreater(len(members), 2)
            for member in members:
                found = getattr(getattr(manyframe, name), member.name).__doc__
                self.assertEqual(found.split(), ast.get_docstring(member).split(), f"{name}.{member.name}")

    def test_help_lists_what_a_pack_holds(self):
        listed = manyframe.Pack.__doc__.split("----------\n")[1]
        names = [name for line in listed.splitlines() if line[:5].strip() for name in line.strip().split(", ")]
        self.assertEqual(sorted(names), sorted(manyframe.Pack.__annotations__))


if __name__ == "__main__":
    unittest.main()
