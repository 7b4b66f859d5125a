//! Settings of published recipes, for data of one's own: what `--template` writes.
//!
//! They are those of the files in `pipelines/`, which say in comments what is published.

use crate::args::InitTemplate;

impl InitTemplate {
    /// The family of its model.
    pub(super) fn family(self) -> &'static str {
        match self {
            Self::Longllava => "longllava",
            Self::Longvila => "longvila",
            Self::Qwen3VlSft => "qwen3-vl",
        }
    }

    /// The table of the model, with what comes before it.
    pub(super) fn model(self) -> &'static str {
        match self {
            Self::Longllava => {
                "# The settings of LongLLaVA's third stage (arXiv 2409.02889): pipelines/longllava/3-multi-image.toml.\n\
                 [model]\nfamily = \"longllava\"\n"
            }
            Self::Longvila => {
                "# The settings of LongVILA's fifth stage (arXiv 2408.10188) for 256 frames: pipelines/longvila/5-long-sft.toml.\n\
                 [model]\nfamily = \"longvila\"\n"
            }
            Self::Qwen3VlSft => {
                "# The settings of a fine-tune of Qwen3-VL: pipelines/qwen3-vl/finetune.toml.\n\
                 [model]\nfamily = \"qwen3-vl\"\nmax_pixels = 1_310_720    # 1,280 tokens an image\n\
                 [model.video]\nframes = { fps = 2.0 }\nmax_frames = 128\nbudget = \"capped\"\nmax_video_tokens = 256    # each frame\n"
            }
        }
    }

    /// The rest of `[format]`, and the tables behind it.
    pub(super) fn settings(self) -> &'static str {
        match self {
            Self::Longllava => {
                "max_tokens = 40_960\n\n\
                 [video]    # a frame a second, at most 128\nsampling = \"interval\"\ninterval_s = 1.0\nmax_frames = 128\n\n\
                 # For a [[source]] with visuals = \"tiled\":\n# [tiles]\n# edge_px = 336\n# max_tiles = 16\n\n\
                 [overlength]\npolicy = [\"fewer_frames\", \"split_turns\"]\n\n\
                 [pack]\nstrategy = \"best_fit_decreasing\"\n"
            }
            Self::Longvila => {
                "max_tokens = 131_072\n\n\
                 [video]    # a frame a second, at most 256\nsampling = \"interval\"\ninterval_s = 1.0\nmax_frames = 256\nmax_edge_px = 384\n\n\
                 [overlength]\npolicy = [\"fewer_frames\", \"split_turns\"]\n\n\
                 [pack]    # ranks: how many data-parallel ranks train on it\nstrategy = \"balanced\"\nranks = 8\n"
            }
            Self::Qwen3VlSft => {
                "max_tokens = 32_768\n\n\
                 [output]    # with input_ids, labels, mm_token_type_ids, image_grid_thw and video_grid_thw\nformats = [\"parquet\"]\n\n\
                 [overlength]\npolicy = [\"fewer_frames\", \"split_turns\"]\n\n\
                 [pack]    # ranks: how many data-parallel ranks train on it\nstrategy = \"balanced\"\nranks = 8\n"
            }
        }
    }
}
