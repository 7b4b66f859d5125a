//! The hybrid model that the data is for, run over samples.
