//! Whether a result is what was asked for.

use crate::scheduler::Submission;
use crate::store::Upload;
use cuckoo_coordinator_api::{
	app::picture_path,
	error::{Code, Refusal},
	miner::TaskResult,
	signing::hex_array,
	task::PictureRef,
};

/// Checks a signed result against the work and the pictures that were uploaded for it (each decoded
/// and found to be of the right size before): the parameters and the model are those that were
/// leased, every picture is there, and its pixels have the digest that the miner signed.
///
/// # Errors
///
/// `INVALID_REQUEST` for other parameters or another model, `BAD_PICTURE` for pictures that are
/// missing or differ; the message says which.
pub(super) fn verify<'a>(
	submission: &Submission,
	result: &TaskResult,
	uploaded: impl Fn(u32) -> Option<&'a Upload>,
) -> Result<Vec<PictureRef>, Refusal> {
	let invalid = |message: &str| Err(Refusal::new(Code::InvalidRequest, message));
	let bad_picture = |message: String| Refusal::new(Code::BadPicture, message);
	let spec = &submission.spec;
	if hex_array(&result.parameters) != Some(spec.digest()) {
		return invalid("the parameters digest is not that of the task");
	}
	if hex_array::<32>(&result.model).is_none()
		|| hex_array::<32>(&result.model) != hex_array(&submission.model_digest)
	{
		return invalid("the model digest is not the one under which the model was offered");
	}
	if result.pictures.len() != spec.images as usize {
		return Err(bad_picture(format!(
			"the result has {} pictures; {} were asked for",
			result.pictures.len(),
			spec.images
		)));
	}
	let mut pictures = Vec::with_capacity(result.pictures.len());
	for (index, signed) in (0..spec.images).zip(&result.pictures) {
		if signed.index != index {
			return Err(bad_picture(format!("picture {index} of the result is not in its place")));
		}
		let picture = uploaded(index)
			.ok_or_else(|| bad_picture(format!("picture {index} was not uploaded")))?;
		if !signed.digest.eq_ignore_ascii_case(&picture.digest) {
			return Err(bad_picture(format!(
				"the pixels of picture {index} have another digest than the result says"
			)));
		}
		pictures.push(PictureRef {
			index,
			path: picture_path(&result.task_id, index),
			width: picture.width,
			height: picture.height,
			bytes: picture.bytes,
			digest: picture.digest.clone(),
		});
	}
	Ok(pictures)
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_coordinator_api::{
		miner::PictureDigest,
		task::{TaskId, TaskRequest},
	};
	use std::sync::Arc;

	fn submission() -> Submission {
		let mut spec = TaskRequest::new("x").resolve(1, "m".into());
		spec.images = 2;
		Submission { spec: Arc::new(spec), model_digest: "Ab".repeat(32) }
	}

	fn uploads() -> Vec<Upload> {
		let upload = |index: u8| Upload {
			name: String::new(),
			bytes: 3,
			width: 512,
			height: 512,
			digest: hex::encode([index; 32]),
		};
		(0..2).map(upload).collect()
	}

	fn result() -> TaskResult {
		TaskResult {
			task_id: TaskId::from_bytes([7; 16]),
			attempt: 1,
			lease: "l".into(),
			parameters: hex::encode(submission().spec.digest()),
			model: "ab".repeat(32),
			pictures: (0..2)
				.map(|index| PictureDigest { index, digest: hex::encode([index as u8; 32]) })
				.collect(),
			render_ms: 5,
		}
	}

	#[test]
	fn a_good_result_passes() {
		let uploads = uploads();
		let pictures =
			verify(&submission(), &result(), |index| uploads.get(index as usize)).unwrap();
		assert_eq!(pictures.len(), 2);
		assert_eq!(pictures[1].path, picture_path(&result().task_id, 1));
		assert_eq!((pictures[1].bytes, pictures[1].width), (3, 512));
	}

	#[test]
	fn each_difference_is_refused() {
		let uploads = uploads();
		let refused = |change: fn(&mut TaskResult)| {
			let mut result = result();
			change(&mut result);
			verify(&submission(), &result, |index| uploads.get(index as usize)).unwrap_err()
		};
		assert_eq!(refused(|r| r.parameters = "00".repeat(32)).code, Code::InvalidRequest);
		assert_eq!(refused(|r| r.parameters.clear()).code, Code::InvalidRequest);
		assert_eq!(refused(|r| r.model = "00".repeat(32)).code, Code::InvalidRequest);
		assert_eq!(refused(|r| r.model.clear()).code, Code::InvalidRequest);
		assert_eq!(refused(|r| drop(r.pictures.pop())).code, Code::BadPicture);
		assert_eq!(refused(|r| r.pictures.swap(0, 1)).code, Code::BadPicture);
		assert_eq!(refused(|r| r.pictures[1].digest = "00".repeat(32)).code, Code::BadPicture);
		let every_other = |index: u32| uploads.get(2 * index as usize);
		let missing = verify(&submission(), &result(), every_other).unwrap_err();
		assert!(missing.message.contains("picture 1 was not uploaded"), "{missing}");
	}
}
