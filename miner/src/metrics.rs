//! What a running miner counts and measures, for Prometheus. The numbers are those that the other parts
//! keep; they are looked at when somebody asks.

use crate::{
	context::Context,
	link::{Link, Status},
	sensors::Reading,
	worker::Activity,
};
use anyhow::Context as _;
use axum::{
	extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get, Router,
};
use prometheus_client::{
	collector::Collector,
	encoding::{text::encode, DescriptorEncoder, EncodeMetric},
	metrics::{counter::ConstCounter, gauge::ConstGauge},
	registry::Registry,
};
use std::{
	fmt,
	net::SocketAddr,
	sync::{atomic::Ordering, Arc},
};
use tokio::net::TcpListener;
use tracing::{error, info};

/// The form of the answer.
const FORM: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves `/metrics` at `address` from now on; answers with the address itself, where the port was 0.
///
/// # Errors
///
/// If nobody can listen there.
pub async fn serve(address: SocketAddr, context: Arc<Context>) -> anyhow::Result<SocketAddr> {
	let listener = TcpListener::bind(address).await.with_context(|| {
		format!("cannot listen on {address} for metrics: name another address by --metrics-listen")
	})?;
	let address = listener.local_addr()?;
	let mut registry = Registry::with_prefix("cuckoo_miner");
	registry.register_collector(Box::new(Numbers(context)));
	let router = Router::new().route("/metrics", get(metrics)).with_state(Arc::new(registry));
	tokio::spawn(async move {
		if let Err(error) = axum::serve(listener, router).await {
			error!("metrics are not served any more: {error}");
		}
	});
	info!("metrics at http://{address}/metrics");
	Ok(address)
}

async fn metrics(State(registry): State<Arc<Registry>>) -> impl IntoResponse {
	let mut text = String::new();
	// Writing to a text does not fail.
	let _ = encode(&mut text, &registry);
	([(CONTENT_TYPE, FORM)], text)
}

struct Numbers(Arc<Context>);

impl fmt::Debug for Numbers {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str("Numbers")
	}
}

/// A label, and the number that goes with it.
type Labelled<V> = Vec<(String, V)>;

impl Collector for Numbers {
	fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
		let context = &self.0;
		let counts = context.totals.snapshot();
		counters(
			&mut encoder,
			"tasks",
			"Tasks that have ended, by outcome",
			"outcome",
			vec![
				("done".into(), counts.done),
				("refused".into(), counts.refused),
				("failed".into(), counts.failed),
				("dropped".into(), counts.dropped),
			],
		)?;
		let standing = context.standing();
		let links = &standing.links;
		let of_links = |number: fn(&Link) -> u64| {
			links.iter().map(|link| (link.stash(), number(link))).collect::<Labelled<_>>()
		};
		let label = "coordinator";
		counters(&mut encoder, "polls", "Times asked for work", label, of_links(Link::polls))?;
		counters(&mut encoder, "assignments", "Tasks given", label, of_links(Link::tasks))?;
		let up = of_links(|link| u64::from(link.status() == Status::Up));
		gauges(&mut encoder, "connected", "Whether it is connected", label, as_gauges(up))?;
		let held = of_links(|link| link.held() as u64);
		gauges(&mut encoder, "held", "Tasks in hand", label, as_gauges(held))?;

		let activities = context.workers.activities();
		let of_devices = |number: fn(&Activity) -> u64| {
			let numbered = activities.iter().map(|a| (a.device.to_string(), number(a)));
			numbered.collect::<Labelled<_>>()
		};
		let expected = links.iter().map(|link| (link.stash(), link.standing().expected));
		let help = "Draws to be expected by stake, as the coordinator says";
		gauges(&mut encoder, "expected_draws", help, label, expected.collect())?;

		let label = "device";
		let steps = of_devices(|activity| activity.steps.load(Ordering::Relaxed));
		counters(&mut encoder, "steps", "Denoising steps", label, steps)?;
		let pictures = of_devices(|activity| activity.pictures.load(Ordering::Relaxed));
		counters(&mut encoder, "pictures", "Pictures rendered", label, pictures)?;
		let readings: Vec<_> = activities
			.iter()
			.map(|activity| (activity.device.to_string(), context.sensors.read(activity.device)))
			.collect();
		let of_readings = |number: fn(&Reading) -> Option<f64>| {
			let told = readings.iter();
			told.filter_map(|(device, reading)| Some((device.clone(), number(reading)?)))
				.collect::<Labelled<_>>()
		};
		let used = of_readings(|reading| reading.memory_used.map(|bytes| bytes as f64));
		gauges(&mut encoder, "device_memory_used_bytes", "Memory in use", label, used)?;
		let hot = of_readings(|reading| reading.temperature.map(f64::from));
		gauges(&mut encoder, "device_temperature_celsius", "Temperature", label, hot)?;
		let power =
			of_readings(|reading| reading.power.map(|milliwatts| f64::from(milliwatts) / 1e3));
		gauges(&mut encoder, "device_power_watts", "Power drawn", label, power)?;
		let throttled = readings.iter().map(|(device, reading)| {
			(device.clone(), f64::from(u8::from(reading.throttled.is_some())))
		});
		let help = "Whether its clocks are held back";
		gauges(&mut encoder, "device_throttled", help, label, throttled.collect())?;

		let cai = |planck: u128| planck as f64 / 1e18;
		let mut alone = |name: &str, help: &str, number: f64| {
			let gauge = ConstGauge::new(number);
			let encoder = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
			gauge.encode(encoder)
		};
		alone(
			"render_seconds",
			"Seconds of rendering of what was taken",
			counts.render_ms as f64 / 1e3,
		)?;
		alone("stake_cai", "Stake with votes", cai(standing.weight))?;
		alone("stake_share", "Part of the stake of all active miners", standing.share())?;
		let block = standing.block.map_or(0.0, |block| block.number as f64);
		alone("finalized_block", "Number of the last finalized block that was seen", block)?;
		let earnings = context.earnings();
		alone("earned_cai", "Earned since the start, at least", cai(earnings.since_start))?;
		if let Some(pending) = earnings.pending {
			alone("claimable_cai", "What the stash can claim", cai(pending))?;
		}
		Ok(())
	}
}

fn as_gauges(numbers: Labelled<u64>) -> Labelled<f64> {
	numbers.into_iter().map(|(label, number)| (label, number as f64)).collect()
}

fn counters(
	encoder: &mut DescriptorEncoder<'_>,
	name: &str,
	help: &str,
	label: &'static str,
	numbers: Labelled<u64>,
) -> fmt::Result {
	family(encoder, name, help, label, numbers.into_iter().map(|(l, n)| (l, ConstCounter::new(n))))
}

fn gauges(
	encoder: &mut DescriptorEncoder<'_>,
	name: &str,
	help: &str,
	label: &'static str,
	numbers: Labelled<f64>,
) -> fmt::Result {
	family(encoder, name, help, label, numbers.into_iter().map(|(l, n)| (l, ConstGauge::new(n))))
}

fn family<M: EncodeMetric>(
	encoder: &mut DescriptorEncoder<'_>,
	name: &str,
	help: &str,
	label: &'static str,
	metrics: impl Iterator<Item = (String, M)>,
) -> fmt::Result {
	let mut metrics = metrics.peekable();
	let Some((_, first)) = metrics.peek() else { return Ok(()) };
	let mut encoder = encoder.encode_descriptor(name, help, None, first.metric_type())?;
	for (value, metric) in metrics {
		metric.encode(encoder.encode_family(&[(label, value)])?)?;
	}
	Ok(())
}
