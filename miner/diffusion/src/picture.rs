//! A rendered picture.

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
		let file = picture.png();
		let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
		let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
		let info = reader.next_frame(&mut pixels).unwrap();
		assert_eq!((info.width, info.height), (5, 3));
		assert_eq!(pixels, picture.rgb);
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
