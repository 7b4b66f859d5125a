#!/usr/bin/env python3
"""Writes what `transformers` renders with chat templates of TRL: tests/golden/templates.jsonl.

Usage: make_templates.py [TEMPLATES]
TEMPLATES has the `.jinja` files of TRL 1.16 (.env/trl/trl/chat_templates). Needs the packages of requirements.txt.
"""

import json
import pathlib
import sys

from transformers.utils.chat_template_utils import render_jinja_template

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATES = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".env/trl/trl/chat_templates"
FAMILIES = ["nemotron_3_5_lightning", "nemotron_3_nano", "nemotron_3_super", "nemotron_3_ultra"]
CONVERSATIONS = [
    [("user", "Hi there"), ("assistant", "Hello!")],
    [("system", "You are terse."), ("user", "Which?"), ("assistant", "This \"one\"."), ("user", "Why?"), ("assistant", "So.\n\nYes.")],
    [("user", "Add."), ("assistant", "<think>\none and one\n</think>\n\n2")],
]

with open(ROOT / "tests/golden/templates.jsonl", "w") as rows:
    for name in [family + ending for family in FAMILIES for ending in ("", "_training")]:
        template = (TEMPLATES / f"{name}.jinja").read_text()
        for turns in CONVERSATIONS:
            messages = [{"role": role, "content": text} for role, text in turns]
            texts, _ = render_jinja_template([messages], chat_template=template)
            rows.write(json.dumps({"template": name, "messages": messages, "text": texts[0]}, ensure_ascii=False) + "\n")
