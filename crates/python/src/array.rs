//! Arrays of NumPy over memory of Rust: nothing is copied, and the array keeps the memory alive.

use std::ffi::c_int;

use manyframe_media::RgbImage;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Numbers that belong to Python.
///
/// # Invariants
/// Nothing but `__getbuffer__` touches the numbers, so that they stay where they are for as long as the object lives.
#[pyclass(module = "manyframe._native")]
pub(crate) struct Memory(Numbers);

enum Numbers {
    U8(Vec<u8>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Numbers of which there are arrays.
pub(crate) trait Number: Sized {
    /// Their name in NumPy.
    const NAME: &'static str;

    #[doc(hidden)]
    fn memory(numbers: Vec<Self>) -> Memory;
}

macro_rules! numbers {
    ($($number:ty: $variant:ident, $name:literal;)*) => {
        $(impl Number for $number {
            const NAME: &'static str = $name;

            fn memory(numbers: Vec<Self>) -> Memory {
                Memory(Numbers::$variant(numbers))
            }
        })*

        impl Numbers {
            /// The first byte, and the number of bytes.
            fn bytes(&mut self) -> (*mut u8, usize) {
                match self {
                    $(Self::$variant(numbers) => (numbers.as_mut_ptr().cast(), size_of_val(&**numbers)),)*
                }
            }
        }
    };
}

numbers! {
    u8: U8, "uint8";
    u32: U32, "uint32";
    i32: I32, "int32";
    i64: I64, "int64";
    f32: F32, "float32";
    f64: F64, "float64";
}

#[pymethods]
impl Memory {
    #[expect(unsafe_code, reason = "Python's buffers are pointers")]
    unsafe fn __getbuffer__(this: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("there is no view to fill"));
        }
        let (start, num_bytes) = this.borrow_mut().0.bytes();
        // SAFETY: Python passes a view that is to be filled. The bytes stay where they are while the object lives, by the
        // invariant of `Memory`, and the view that is filled holds a reference to the object.
        let status =
            unsafe { ffi::PyBuffer_FillInfo(view, this.as_ptr(), start.cast(), num_bytes.cast_signed(), 0, flags) };
        if status == 0 { Ok(()) } else { Err(PyErr::fetch(this.py())) }
    }
}

/// An array of one dimension.
pub(crate) fn array<T: Number>(py: Python<'_>, numbers: Vec<T>) -> PyResult<Bound<'_, PyAny>> {
    static FROM_BUFFER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static EMPTY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if numbers.is_empty() {
        // `frombuffer` refuses to read nothing.
        return EMPTY.import(py, "numpy", "empty")?.call1((0, T::NAME));
    }
    FROM_BUFFER.import(py, "numpy", "frombuffer")?.call1((T::memory(numbers), T::NAME))
}

/// An array of some shape, which has as many elements as there are numbers.
pub(crate) fn array_of_shape<'py, T: Number>(
    py: Python<'py>,
    numbers: Vec<T>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyAny>> {
    array(py, numbers)?.call_method1("reshape", (shape.to_vec(),))
}

/// Pixels as an array of height, width and 3 channels.
pub(crate) fn pixels_to_array(py: Python<'_>, image: RgbImage) -> PyResult<Bound<'_, PyAny>> {
    let shape = [image.height_px() as usize, image.width_px() as usize, 3];
    array_of_shape(py, image.into_pixels(), &shape)
}
