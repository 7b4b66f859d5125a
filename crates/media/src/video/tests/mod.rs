//! Agreement with the `ffmpeg` program, on clips that it makes; and what happens with bad files.

mod agreement;
mod clips;
mod hostile;
mod inputs;
