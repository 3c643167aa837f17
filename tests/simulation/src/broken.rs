//! Engines that are broken on purpose, by what they are given in place of a sound client or store: a check of the checker.

/// How an engine is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum Broken {
    /// The end of a transaction is sent once more although it may have been heard.
    RepeatsTheEnd,
    /// Offsets are sent without saying who commits them.
    SkipsTheFence,
    /// At each commit the client is asked which generation it is in, also if the loop has not heard of that one.
    AsksForGenerationAfresh,
    /// What the client does not tell of has not happened: a member that was thrown out and is one again goes on as it was.
    TakesSilenceForStaying,
    /// A commit is taken for done before the broker has answered.
    AcknowledgesEarly,
    /// After an abort the reader goes on where it was.
    ForgetsToRewind,
    /// The store is written before the transaction is committed.
    WritesTheStoreFirst,
    /// The changelog gets no header.
    ForgetsTheHeader,
    /// A takeover takes the last stable offset for the changelog's end.
    TrustsTheStableOffset,
    /// A rebuild goes to where the changelog ended before it was begun.
    RebuildsBlindly,
    /// A claim whose outcome is not known is used once more.
    ReusesAClaim,
    /// The watermark is ahead of what was received.
    FiresAhead,
    /// What timers bring about is written outside of the transaction.
    FiresOutside,
    /// A batch of timers alone sends no offsets.
    TimersWithoutOffsets,
    /// Every view of the store has the same generation.
    SharesAGeneration,
    /// It takes its machine's clock for the broker's.
    TrustsItsOwnClock,
    /// It does not remember which messages it has seen.
    ForgetsMessages,
    /// A mark does not count what was sent twice, of which nobody says where it lies.
    OverlooksRepeats,
    /// What was done on a device before anybody knew whose it is counts as done at the moment of recognition.
    DatesHistoryAnew,
    /// Segmentation hashes addresses with another secret than messaging.
    HashesOtherwise,
}

impl Broken {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::RepeatsTheEnd,
        Self::SkipsTheFence,
        Self::AsksForGenerationAfresh,
        Self::TakesSilenceForStaying,
        Self::AcknowledgesEarly,
        Self::ForgetsToRewind,
        Self::WritesTheStoreFirst,
        Self::ForgetsTheHeader,
        Self::TrustsTheStableOffset,
        Self::RebuildsBlindly,
        Self::ReusesAClaim,
        Self::FiresAhead,
        Self::FiresOutside,
        Self::TimersWithoutOffsets,
        Self::SharesAGeneration,
        Self::TrustsItsOwnClock,
        Self::ForgetsMessages,
        Self::OverlooksRepeats,
        Self::DatesHistoryAnew,
        Self::HashesOtherwise,
    ];
}
