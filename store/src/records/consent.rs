//! What recipients agreed to.

use domain::consent::{Choice, Consent, Covers, Proof, SeenStatement, SeenStatements, Source, Standing, Statement};

use super::audit::ByV1;
use super::ids::{AttemptRefV1, Id, Millis};
use super::wire::{Wire, wire_enum, wire_struct};

wire_struct!(ConsentV1 of Consent {
    id: Id,
    recipient: String,
    transactional: Option<StandingV1>,
    marketing: Option<StandingV1>,
    seen: Vec<SeenStatementV1>,
    confirmed: [Option<u64>; 2],
});
wire_struct!(StandingV1 of Standing { choice: ChoiceV1, at: Millis, record: u64 });
wire_enum!(ChoiceV1 of Choice { Granted, Revoked });
wire_enum!(CoversV1 of Covers { Transactional, Marketing, Both });

impl Wire<SeenStatements> for Vec<SeenStatementV1> {
    fn of(value: &SeenStatements) -> Self {
        Self::of(&value.0)
    }

    fn into_value(self) -> SeenStatements {
        SeenStatements(self.into_value())
    }
}

wire_struct!(SeenStatementV1 of SeenStatement { at: Millis, covers: CoversV1, choice: ChoiceV1, proof: ProofV1 });
wire_enum!(ProofV1 of Proof { Word(id: Id), Preference, OptOut(attempt: AttemptRefV1), Ahead(told: Millis) });

wire_struct!(StatementV1 of Statement {
    choice: ChoiceV1,
    covers: CoversV1,
    at: Millis,
    recorded_at: Millis,
    by: ByV1,
    source: SourceV1,
});
wire_enum!(SourceV1 of Source {
    Api { name: Option<String>, evidence: Option<Vec<u8>> },
    Word { inbound: Id },
    Preference { told_at: Millis, detail: Option<String> },
    OptOut { attempt: AttemptRefV1 },
    Linked { consent: Id, record: u64 },
});
