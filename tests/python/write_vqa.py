"""Writes questions with several answers as datasets of the Hugging Face Hub have them: Parquet, with the images in it.

    write_vqa.py FORM FILE IMAGE IMAGE       needs: pip install datasets pillow

The features are those of lmms-lab/textvqa, lmms-lab/DocVQA, HuggingFaceM4/VQAv2, lmms-lab/OK-VQA (whose entries HuggingFaceM4's
version has as objects) and HuggingFaceM4/ChartQA.
"""

import sys

from datasets import Dataset, Features, Image, List, Value

TEXT, INTEGER = Value("string"), Value("int32")
QUESTION = {"image": Image(), "question": TEXT, "question_id": INTEGER}
ENTRY = {"answer": TEXT, "raw_answer": TEXT, "answer_confidence": TEXT, "answer_id": INTEGER}
FORMS = {
    "text_vqa": QUESTION
    | {"image_id": TEXT, "image_width": INTEGER, "flickr_original_url": TEXT, "answers": List(TEXT), "image_classes": List(TEXT)}
    | {"ocr_tokens": List(TEXT), "set_name": TEXT},
    "doc_vqa": {"questionId": TEXT, "question": TEXT, "question_types": List(TEXT), "image": Image(), "docId": INTEGER}
    | {"ucsf_document_id": TEXT, "answers": List(TEXT), "data_split": TEXT},
    "vqa_v2": QUESTION
    | {"question_type": TEXT, "multiple_choice_answer": TEXT, "answers": List(ENTRY), "image_id": INTEGER, "answer_type": TEXT},
    "ok_vqa": QUESTION | {"answers": List(ENTRY), "answer_type": TEXT, "confidence": INTEGER},
    "chart_qa": {"image": Image(), "query": TEXT, "label": List(TEXT), "human_or_machine": INTEGER},
}
ANSWERS = [["one", "two", "two"], ["three", "four", "three"]]


def value(name, feature, number, image):
    answers = ANSWERS[number]
    if name == "image":
        return {"bytes": open(image, "rb").read(), "path": None}
    if name == "multiple_choice_answer":
        return max(answers, key=answers.count)
    if name in ("answers", "label"):
        if feature == List(TEXT):
            return answers
        return [
            {"answer": answer, "raw_answer": answer, "answer_confidence": "yes", "answer_id": index}
            for index, answer in enumerate(answers)
        ]
    if name in ("question", "query"):
        return f"What is shown in picture {number}?"
    if name == "flickr_original_url":
        return "https://farm5.staticflickr.com/1/2_3_o.jpg"
    if isinstance(feature, List):
        return ["Sign", "a.b"]
    return number if feature == INTEGER else f"{name} {number}"


def main():
    form, path, images = sys.argv[1], sys.argv[2], sys.argv[3:]
    features = FORMS[form]
    rows = [
        {name: value(name, feature, number, image) for name, feature in features.items()}
        for number, image in enumerate(images)
    ]
    Dataset.from_list(rows, features=Features(features)).to_parquet(path)


main()
