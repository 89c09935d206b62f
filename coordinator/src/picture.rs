//! A picture that a miner uploads: decoded and checked before anybody relies on it.

use bytes::Bytes;
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	miner::MAX_PICTURE_BYTES,
	task::TaskSpec,
};
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};
use sp_crypto_hashing::blake2_256;
use std::io::Cursor;

/// A picture that was decoded and found to be what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
	/// The PNG as it was uploaded.
	pub png: Bytes,
	/// Width in pixels.
	pub width: u32,
	/// Height in pixels.
	pub height: u32,
	/// BLAKE2-256 of the raw RGB pixels, row by row.
	pub digest: [u8; 32],
}

/// Most bytes that a PNG of this work may have: what its pixels take uncompressed and a little more,
/// so that nobody makes the coordinator keep ballast.
pub fn max_png_bytes(spec: &TaskSpec) -> usize {
	let pixels = pixel_bytes(spec);
	(pixels + pixels / 16 + 64 * 1024).min(MAX_PICTURE_BYTES)
}

fn pixel_bytes(spec: &TaskSpec) -> usize {
	spec.width as usize * spec.height as usize * 3
}

/// Decodes an uploaded PNG and checks it against the work: 8-bit RGB, the width and height that were
/// asked for, and not all of one colour. What the decoder may allocate is bounded by the size that was
/// asked for, whatever the file claims.
///
/// # Errors
///
/// `BAD_PICTURE`, with what is wrong.
pub fn decode(png: Bytes, spec: &TaskSpec) -> Result<Picture, Refusal> {
	let limits = Limits { bytes: pixel_bytes(spec) + 1024 * 1024 };
	let mut decoder = Decoder::new_with_limits(Cursor::new(&png[..]), limits);
	decoder.set_transformations(Transformations::IDENTITY);
	decoder.set_ignore_text_chunk(true);
	decoder.set_ignore_iccp_chunk(true);
	let header = decoder.read_header_info().map_err(broken)?;
	if (header.width, header.height) != (spec.width, spec.height) {
		return Err(bad(format!(
			"the picture has {} x {} pixels; {} x {} were asked for",
			header.width, header.height, spec.width, spec.height
		)));
	}
	if (header.color_type, header.bit_depth) != (ColorType::Rgb, BitDepth::Eight) {
		return Err(bad(format!(
			"the picture is {:?} of depth {:?}; it must be RGB with 8 bits a channel",
			header.color_type, header.bit_depth
		)));
	}
	let mut reader = decoder.read_info().map_err(broken)?;
	let mut pixels = vec![0; pixel_bytes(spec)];
	if reader.output_buffer_size() != Some(pixels.len()) {
		return Err(bad("the picture does not have the size that its header claims"));
	}
	reader.next_frame(&mut pixels).map_err(broken)?;
	reader.finish().map_err(broken)?;
	if pixels.chunks_exact(3).all(|pixel| pixel == &pixels[..3]) {
		return Err(bad("the picture is blank: all its pixels are the same"));
	}
	Ok(Picture { width: spec.width, height: spec.height, digest: blake2_256(&pixels), png })
}

fn broken(error: png::DecodingError) -> Refusal {
	bad(format!("the picture is not a valid PNG: {error}"))
}

fn bad(message: impl Into<String>) -> Refusal {
	Refusal::new(Code::BadPicture, message)
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_coordinator_api::task::TaskRequest;

	fn spec() -> TaskSpec {
		let mut spec = TaskRequest::new("x").resolve(1, "m".into());
		(spec.width, spec.height) = (64, 72);
		spec
	}

	fn encode(width: u32, height: u32, color: ColorType, pixels: &[u8]) -> Vec<u8> {
		let mut png = Vec::new();
		let mut encoder = png::Encoder::new(&mut png, width, height);
		encoder.set_color(color);
		encoder.set_depth(BitDepth::Eight);
		encoder.write_header().unwrap().write_image_data(pixels).unwrap();
		png
	}

	fn noise(bytes: usize) -> Vec<u8> {
		(0..bytes).map(|i| (i * 7919 % 251) as u8).collect()
	}

	fn refused(png: Vec<u8>) -> String {
		let refusal = decode(png.into(), &spec()).expect_err("must be refused");
		assert_eq!(refusal.code, Code::BadPicture);
		refusal.message
	}

	#[test]
	fn a_good_picture_passes_with_the_digest_of_its_pixels() {
		let pixels = noise(64 * 72 * 3);
		let png = encode(64, 72, ColorType::Rgb, &pixels);
		assert!(png.len() <= max_png_bytes(&spec()));
		let picture = decode(png.clone().into(), &spec()).unwrap();
		assert_eq!(picture.digest, blake2_256(&pixels));
		assert_eq!(picture.png, png);
	}

	#[test]
	fn pictures_other_than_asked_for_are_refused() {
		assert!(refused(encode(72, 64, ColorType::Rgb, &noise(72 * 64 * 3))).contains("72 x 64"));
		let rgba = encode(64, 72, ColorType::Rgba, &noise(64 * 72 * 4));
		assert!(refused(rgba).contains("must be RGB"));
		let blank = encode(64, 72, ColorType::Rgb, &vec![200; 64 * 72 * 3]);
		assert!(refused(blank).contains("blank"));
		assert!(refused(Vec::new()).contains("not a valid PNG"));
		assert!(refused(b"GIF89a".to_vec()).contains("not a valid PNG"));
	}

	/// A file cut off or changed anywhere is refused or, where the change does not matter, decodes to
	/// the same pixels; never a panic.
	#[test]
	fn corrupt_pictures_never_pass() {
		let pixels = noise(64 * 72 * 3);
		let good = encode(64, 72, ColorType::Rgb, &pixels);
		// Everything before the end chunk, which has 12 bytes, is needed.
		for length in (0..good.len() - 12).step_by(97) {
			refused(good[..length].to_vec());
		}
		for at in (0..good.len()).step_by(53) {
			let mut changed = good.clone();
			changed[at] ^= 0x55;
			if let Ok(picture) = decode(changed.into(), &spec()) {
				assert_eq!(picture.digest, blake2_256(&pixels), "byte {at}");
			}
		}
	}

	/// A header that claims a gigantic picture is refused by its size, before anything is allocated.
	#[test]
	fn a_decompression_bomb_is_refused() {
		let mut bomb = encode(64, 72, ColorType::Rgb, &noise(64 * 72 * 3));
		bomb[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
		bomb[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
		refused(bomb);
	}
}
