//! How the tensors of LoRA files are named.

/// A part of a model that LoRA files change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
	Unet,
	TextEncoder,
	TextEncoder2,
}

impl Part {
	/// The folder of a model directory that it is in.
	pub fn folder(self) -> &'static str {
		match self {
			Self::Unet => "unet",
			Self::TextEncoder => "text_encoder",
			Self::TextEncoder2 => "text_encoder_2",
		}
	}

	/// The name of a layer without dots, as kohya's files have it: it is how layers are known here. The
	/// first part of the text encoders' names is left out by newer files.
	pub fn flat(self, layer: &str) -> String {
		let flat = layer.replace('.', "_");
		match (self, flat.strip_prefix("text_model_")) {
			(Self::TextEncoder | Self::TextEncoder2, Some(rest)) => rest.to_owned(),
			_ => flat,
		}
	}
}

/// What a tensor of a LoRA file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
	/// From the inputs to the rank.
	Down,
	/// From the rank to the outputs.
	Up,
	/// The change is multiplied with this number and divided by the rank.
	Alpha,
}

const PARTS: [(&str, Part); 7] = [
	("unet.", Part::Unet),
	("text_encoder.", Part::TextEncoder),
	("text_encoder_2.", Part::TextEncoder2),
	("lora_unet_", Part::Unet),
	("lora_te_", Part::TextEncoder),
	("lora_te1_", Part::TextEncoder),
	("lora_te2_", Part::TextEncoder2),
];

const ROLES: [(&str, Role); 11] = [
	// PEFT.
	(".lora_A.weight", Role::Down),
	(".lora_B.weight", Role::Up),
	// diffusers before PEFT: the last two beside attention layers, not in them.
	(".lora.down.weight", Role::Down),
	(".lora.up.weight", Role::Up),
	(".lora_linear_layer.down.weight", Role::Down),
	(".lora_linear_layer.up.weight", Role::Up),
	("_lora.down.weight", Role::Down),
	("_lora.up.weight", Role::Up),
	// kohya.
	(".lora_down.weight", Role::Down),
	(".lora_up.weight", Role::Up),
	(".alpha", Role::Alpha),
];

const REFUSED: [(&str, &str); 5] = [
	(".lora_mid.weight", "a LoCon with a tensor in the middle (Tucker decomposition)"),
	("dora_scale", "a DoRA"),
	("lora_magnitude_vector", "a DoRA"),
	(".hada_", "a LoHa"),
	(".lokr_", "a LoKr"),
];

/// The part, the flat name of the layer and the role of a tensor; or why it is none.
pub(super) fn parse(name: &str) -> Result<(Part, String, Role), String> {
	if let Some((_, what)) = REFUSED.into_iter().find(|(mark, _)| name.contains(mark)) {
		return Err(format!("it is {what}, which is not supported (tensor {name})"));
	}
	let unknown = || format!("unknown tensor {name}: is it a LoRA for another kind of model?");
	let (part, rest) = PARTS
		.into_iter()
		.find_map(|(prefix, part)| Some((part, name.strip_prefix(prefix)?)))
		.ok_or_else(unknown)?;
	let (layer, role) = ROLES
		.into_iter()
		.find_map(|(suffix, role)| Some((rest.strip_suffix(suffix)?, role)))
		.ok_or_else(unknown)?;
	let mut flat = part.flat(layer);
	if let Some((attention, projection)) = flat.split_once("_processor_") {
		let number = if projection == "to_out" { "_0" } else { "" };
		flat = format!("{attention}_{projection}{number}");
	}
	Ok((part, flat, role))
}

/// The flat names that a layer of the UNet had before diffusers, which kohya's files for Stable
/// Diffusion XL use.
pub(crate) fn original_names(layer: &str, layers_per_block: usize) -> Vec<String> {
	let parts: Vec<_> = layer.split('.').collect();
	let number = |text: &str| text.parse::<usize>().ok();
	let own = |rest: &[&str]| match rest[0] {
		"conv1" => "in_layers_2".to_owned(),
		"conv2" => "out_layers_3".to_owned(),
		"time_emb_proj" => "emb_layers_1".to_owned(),
		"conv_shortcut" => "skip_connection".to_owned(),
		_ => rest.join("_"),
	};
	let names = || -> Option<Vec<String>> {
		Some(match &parts[..] {
			["conv_in"] => vec!["input_blocks_0_0".into()],
			["conv_out"] => vec!["out_2".into()],
			["time_embedding", "linear_1"] => vec!["time_embed_0".into()],
			["time_embedding", "linear_2"] => vec!["time_embed_2".into()],
			["add_embedding", "linear_1"] => vec!["label_emb_0_0".into()],
			["add_embedding", "linear_2"] => vec!["label_emb_0_2".into()],
			["mid_block", "resnets", i, rest @ ..] if !rest.is_empty() => {
				vec![format!("middle_block_{}_{}", 2 * number(i)?, own(rest))]
			},
			["mid_block", "attentions", "0", rest @ ..] => {
				vec![format!("middle_block_1_{}", rest.join("_"))]
			},
			[direction @ ("down_blocks" | "up_blocks"), level, kind, i, rest @ ..]
				if !rest.is_empty() =>
			{
				let (level, i) = (number(level)?, number(i)?);
				// On the way down a convolution comes before the blocks, and those that halve are
				// counted; on the way up there is a layer more, and those that double are in its block.
				let before = level * (layers_per_block + 1);
				let (side, block) = match *direction {
					"down_blocks" => ("input", 1 + before),
					_ => ("output", before),
				};
				let name = |block, rest: &str| format!("{side}_blocks_{block}_{rest}");
				match *kind {
					"resnets" => vec![name(block + i, &format!("0_{}", own(rest)))],
					"attentions" => vec![name(block + i, &format!("1_{}", rest.join("_")))],
					"downsamplers" => vec![name(block + layers_per_block, "0_op")],
					// After the transformer, where there is one.
					"upsamplers" => ["1_conv", "2_conv"]
						.map(|rest| name(block + layers_per_block, rest))
						.to_vec(),
					_ => return None,
				}
			},
			_ => return None,
		})
	};
	names().unwrap_or_default()
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn every_naming_leads_to_the_same_layer() {
		let query = "down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q";
		for (name, role) in [
			("unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q.lora_A.weight", Role::Down),
			("unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q.lora_B.weight", Role::Up),
			("unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q.lora.down.weight", Role::Down),
			(
				"unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.processor.to_q_lora.up.weight",
				Role::Up,
			),
			("lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q.lora_up.weight", Role::Up),
			("lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q.alpha", Role::Alpha),
		] {
			assert_eq!(parse(name), Ok((Part::Unet, query.to_owned(), role)), "{name}");
		}
		let name = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora.up.weight";
		assert!(parse(name).unwrap().1.ends_with("attn2_to_out_0"));
		let value = "encoder_layers_3_self_attn_v_proj";
		for (name, part) in [
			("text_encoder.text_model.encoder.layers.3.self_attn.v_proj.lora_A.weight", Part::TextEncoder),
			(
				"text_encoder_2.text_model.encoder.layers.3.self_attn.v_proj.lora_linear_layer.down.weight",
				Part::TextEncoder2,
			),
			("lora_te_text_model_encoder_layers_3_self_attn_v_proj.lora_down.weight", Part::TextEncoder),
			("lora_te1_text_model_encoder_layers_3_self_attn_v_proj.lora_down.weight", Part::TextEncoder),
			("lora_te2_text_model_encoder_layers_3_self_attn_v_proj.lora_down.weight", Part::TextEncoder2),
		] {
			assert_eq!(parse(name), Ok((part, value.to_owned(), Role::Down)), "{name}");
		}
		assert_eq!(Part::TextEncoder.flat("text_model.encoder.layers.3.self_attn.v_proj"), value);
		assert_eq!(Part::TextEncoder.flat("encoder.layers.3.self_attn.v_proj"), value);
	}

	#[test]
	fn what_is_not_understood_is_named() {
		for (name, expected) in [
			("transformer.blocks.0.lora_A.weight", "unknown tensor transformer.blocks.0"),
			("lora_unet_conv_in.weight", "unknown tensor lora_unet_conv_in.weight"),
			("", "unknown tensor"),
			("unet.conv_in.dora_scale", "a DoRA"),
			("lora_unet_conv_in.lora_mid.weight", "a LoCon with a tensor in the middle"),
			("lora_unet_conv_in.hada_w1_a", "a LoHa"),
			("lora_unet_conv_in.lokr_w1", "a LoKr"),
		] {
			let error = parse(name).unwrap_err();
			assert!(error.contains(expected) && error.contains(name), "{error}");
		}
	}

	/// Names in the published files of Stable Diffusion XL, two layers a block.
	#[test]
	fn layers_are_known_by_their_original_names() {
		for (layer, original) in [
			("conv_in", "input_blocks_0_0"),
			("down_blocks.0.resnets.1.conv1", "input_blocks_2_0_in_layers_2"),
			("down_blocks.0.downsamplers.0.conv", "input_blocks_3_0_op"),
			("down_blocks.1.resnets.0.conv_shortcut", "input_blocks_4_0_skip_connection"),
			(
				"down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_out.0",
				"input_blocks_4_1_transformer_blocks_1_attn2_to_out_0",
			),
			("down_blocks.2.attentions.1.proj_in", "input_blocks_8_1_proj_in"),
			("mid_block.resnets.1.time_emb_proj", "middle_block_2_emb_layers_1"),
			("mid_block.attentions.0.proj_out", "middle_block_1_proj_out"),
			("up_blocks.0.attentions.2.proj_out", "output_blocks_2_1_proj_out"),
			("up_blocks.0.upsamplers.0.conv", "output_blocks_2_2_conv"),
			("up_blocks.2.resnets.2.conv2", "output_blocks_8_0_out_layers_3"),
			("add_embedding.linear_2", "label_emb_0_2"),
		] {
			let names = original_names(layer, 2);
			assert!(names.iter().any(|name| name == original), "{layer}: {names:?}");
		}
		for odd in
			["", "up_blocks", "up_blocks.x.resnets.0.conv1", "down_blocks.0.resnets.0", "a.b"]
		{
			assert!(original_names(odd, 2).is_empty(), "{odd}");
		}
	}
}
