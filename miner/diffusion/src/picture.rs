//! A picture, rendered or to start from.

use crate::{request::limits, PngError};
use png::{ColorType, Transformations};
use std::io::Cursor;

/// 8-bit RGB pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
	/// Width in pixels.
	pub width: u32,
	/// Height in pixels.
	pub height: u32,
	/// Rows from the top, three bytes a pixel: `width × height × 3` bytes.
	pub rgb: Vec<u8>,
}

impl Picture {
	/// The picture as a PNG file.
	///
	/// # Panics
	///
	/// If `rgb` is not `width × height × 3` bytes, at least one pixel; the renderer makes no such
	/// picture.
	pub fn png(&self) -> Vec<u8> {
		let mut file = Vec::new();
		let mut encoder = png::Encoder::new(&mut file, self.width, self.height);
		encoder.set_color(png::ColorType::Rgb);
		encoder.set_depth(png::BitDepth::Eight);
		encoder
			.write_header()
			.and_then(|mut writer| {
				writer.write_image_data(&self.rgb)?;
				writer.finish()
			})
			.expect("writing to memory fails only if sides and pixels contradict; qed");
		file
	}

	/// The picture in a PNG file. What is transparent there loses that, grey becomes RGB, and 16 bits
	/// become 8.
	///
	/// # Errors
	///
	/// If it is no PNG file, is damaged, or has a side of more than [`limits::MAX_SIDE`] pixels.
	pub fn from_png(file: &[u8]) -> Result<Self, PngError> {
		let error = |error: png::DecodingError| PngError(error.to_string());
		let mut decoder = png::Decoder::new(Cursor::new(file));
		decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
		let mut reader = decoder.read_info().map_err(error)?;
		let (width, height) = reader.info().size();
		if width.max(height) > limits::MAX_SIDE {
			let most = limits::MAX_SIDE;
			return Err(PngError(format!("it has {width}×{height} pixels, at most {most} a side")));
		}
		let size = reader.output_buffer_size().ok_or_else(|| PngError("it is too large".into()))?;
		let mut values = vec![0; size];
		let frame = reader.next_frame(&mut values).map_err(error)?;
		values.truncate(frame.buffer_size());
		let rgb = match frame.color_type {
			ColorType::Rgb => values,
			ColorType::Rgba => values.chunks_exact(4).flat_map(|x| [x[0], x[1], x[2]]).collect(),
			ColorType::Grayscale => values.iter().flat_map(|&x| [x; 3]).collect(),
			ColorType::GrayscaleAlpha => values.chunks_exact(2).flat_map(|x| [x[0]; 3]).collect(),
			ColorType::Indexed => return Err(PngError("its palette was not expanded".into())),
		};
		Ok(Self { width, height, rgb })
	}

	/// BLAKE2b with 256 bits over the raw pixels (not over the PNG, whose bytes depend on the
	/// encoder).
	pub fn digest(&self) -> [u8; 32] {
		let mut hash = crate::digest::blake2_256();
		hash.update(&self.rgb);
		crate::digest::finish(&hash)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn png_decodes_to_the_same_pixels() {
		let picture = Picture { width: 5, height: 3, rgb: (0..45).map(|byte| byte * 5).collect() };
		assert_eq!(Picture::from_png(&picture.png()), Ok(picture));
	}

	/// A PNG file of two pixels beside each other.
	fn two_pixels(color: ColorType, depth: png::BitDepth, data: &[u8]) -> Vec<u8> {
		let mut file = Vec::new();
		let mut encoder = png::Encoder::new(&mut file, 2, 1);
		encoder.set_color(color);
		encoder.set_depth(depth);
		if color == ColorType::Indexed {
			encoder.set_palette(vec![1, 2, 3, 4, 5, 6]);
		}
		encoder.write_header().unwrap().write_image_data(data).unwrap();
		file
	}

	#[test]
	fn other_kinds_of_png_become_rgb() {
		use png::BitDepth::{Eight, One, Sixteen};
		for (color, depth, data, rgb) in [
			(ColorType::Rgba, Eight, &[1, 2, 3, 0, 4, 5, 6, 255][..], [1, 2, 3, 4, 5, 6]),
			(ColorType::Grayscale, Eight, &[7, 9], [7, 7, 7, 9, 9, 9]),
			(ColorType::Grayscale, One, &[0b0100_0000], [0, 0, 0, 255, 255, 255]),
			(ColorType::Grayscale, Sixteen, &[7, 0, 9, 0], [7, 7, 7, 9, 9, 9]),
			(ColorType::GrayscaleAlpha, Eight, &[7, 0, 9, 1], [7, 7, 7, 9, 9, 9]),
			(ColorType::Indexed, Eight, &[1, 0], [4, 5, 6, 1, 2, 3]),
		] {
			let picture = Picture::from_png(&two_pixels(color, depth, data)).unwrap();
			assert_eq!(picture, Picture { width: 2, height: 1, rgb: rgb.to_vec() }, "{color:?}");
		}
	}

	#[test]
	fn what_is_no_png_is_an_error() {
		let side = 2056;
		let large = Picture { width: side, height: 1, rgb: vec![0; side as usize * 3] }.png();
		let error = Picture::from_png(&large).unwrap_err().to_string();
		assert!(error.ends_with("it has 2056×1 pixels, at most 2048 a side"), "{error}");
		let sound = Picture { width: 5, height: 3, rgb: vec![9; 45] }.png();
		for end in 0..sound.len() - 12 {
			Picture::from_png(&sound[..end]).unwrap_err();
		}
		for at in 0..sound.len() {
			let mut damaged = sound.clone();
			damaged[at] ^= 0x15;
			// Some bytes do not matter; none may make it panic.
			let _ = Picture::from_png(&damaged);
		}
	}

	#[test]
	fn digest_is_blake2b_256_of_the_pixels() {
		// RFC 7693's function with a 32-byte output over "abc".
		let picture = Picture { width: 1, height: 1, rgb: b"abc".to_vec() };
		assert_eq!(
			picture.digest()[..8],
			[0xbd, 0xdd, 0x81, 0x3c, 0x63, 0x42, 0x39, 0x72],
			"bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
		);
	}
}
