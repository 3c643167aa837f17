//! Ids without chance: a counter, scattered by a hash (splitmix64) so that they look and spread like random ones.

#[derive(Clone, Debug)]
pub(crate) struct Ids {
    seed: u64,
    count: u64,
    next_producer_id: i64,
}

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, count: 0, next_producer_id: 1_000 }
    }

    pub(crate) fn producer_id(&mut self) -> i64 {
        self.next_producer_id += 1;
        self.next_producer_id
    }

    /// An id in the shape of a version 4 UUID.
    pub(crate) fn uuid(&mut self) -> u128 {
        let (high, low) = (self.scattered(), self.scattered());
        let bits = u128::from(high) << 64 | u128::from(low);
        bits & !(0xf << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62
    }

    /// A member id as Kafka makes them: who it is, then something unique.
    pub(crate) fn member_id(&mut self, named_after: &str) -> String {
        format!("{named_after}-{}", hyphenated(self.uuid()))
    }

    /// A number from 0 up to, but without, `bound`; 0 for a bound that is not positive.
    pub(crate) fn below(&mut self, bound: i64) -> i64 {
        match u64::try_from(bound) {
            Ok(bound) if bound > 0 => (self.scattered() % bound) as i64,
            _ => 0,
        }
    }

    fn scattered(&mut self) -> u64 {
        self.count += 1;
        let mut mixed = self.seed.wrapping_add(self.count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// A UUID as text: five groups of hexadecimal digits.
fn hyphenated(bits: u128) -> String {
    let digits = format!("{bits:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}
