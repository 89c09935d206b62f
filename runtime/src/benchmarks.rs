//! Which pallets are measured: ours. The weights of the others are their authors'.

frame_benchmarking::define_benchmarks!([pallet_cuckoo_staking, Staking]);
