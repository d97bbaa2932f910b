//! Random faults under load, aimed ones among them.

use super::World;
use crate::backend::Sign;
use crate::checks::Broken;
use crate::disk::Survivors;
use crate::monitor::{Aim, Moment};
use crate::network::Conditions;
use std::time::Duration;
use tokio::time::Instant;

const SURVIVORS: [Survivors; 6] = [
    Survivors::Nothing,
    Survivors::Everything,
    Survivors::Prefix,
    Survivors::Subset,
    Survivors::Torn { unit_bytes: 512 },
    Survivors::Torn { unit_bytes: 16 },
];

const SIGNS: [Sign; 4] = [Sign::Grant, Sign::Candidacy, Sign::Leads, Sign::AppendAck];

impl World {
    /// Clients write while faults come and go, for as long as the options say.
    pub async fn storm(&mut self) -> Result<(), Broken> {
        let clients: Vec<_> = (0..self.options.clients).map(|number| self.client(number)).collect();
        let end = Instant::now() + self.options.storm;
        let longest_pause = self.rng.pick(&[150, 500, 1_200]).copied().unwrap_or(500);
        while Instant::now() < end {
            let pause = self.rng.between(20, longest_pause);
            self.pass(Duration::from_millis(pause)).await;
            let survivors = self.survivors();
            self.reap(survivors)?;
            Box::pin(self.fault()).await?;
        }
        clients.iter().for_each(tokio::task::AbortHandle::abort);
        Ok(())
    }

    fn survivors(&mut self) -> Survivors {
        self.rng.pick(&SURVIVORS).copied().unwrap_or(Survivors::Nothing)
    }

    fn anyone(&mut self) -> usize {
        let count = u64::try_from(self.slots.len()).unwrap_or(1);
        usize::try_from(self.rng.below(count)).unwrap_or_default()
    }

    /// The two sides of a cut, neither empty.
    fn sides(&mut self) -> (Vec<usize>, Vec<usize>) {
        let lone = self.anyone();
        let (mut one, mut two) = (vec![lone], Vec::new());
        for slot in self.others(&[lone]) {
            if self.rng.per_mille(300) { one.push(slot) } else { two.push(slot) }
        }
        if two.is_empty() {
            two.extend(one.pop());
        }
        (one, two)
    }

    async fn fault(&mut self) -> Result<(), Broken> {
        let survivors = self.survivors();
        if self.options.churn && self.rng.per_mille(250) {
            return Box::pin(self.churn()).await;
        }
        match self.rng.below(100) {
            0..30 => self.revive().await,
            30..38 => {
                let slot = self.anyone();
                self.kill(slot, survivors)
            }
            38..41 => {
                // The whole room loses power.
                for slot in 0..self.slots.len() {
                    let survivors = self.survivors();
                    self.kill(slot, survivors)?;
                }
                Ok(())
            }
            41..49 => {
                let (one, two) = self.sides();
                self.network.cut(&one, &two);
                Ok(())
            }
            49..54 => {
                let (one, two) = self.sides();
                self.network.cut_one_way(&one, &two);
                Ok(())
            }
            54..66 => {
                self.network.heal();
                Ok(())
            }
            66..72 => {
                let rough = self.rng.per_mille(500);
                self.network.conditions(if rough { Conditions::ROUGH } else { Conditions::default() });
                Ok(())
            }
            72..77 => {
                let slot = self.anyone();
                let stalled = self.rng.per_mille(500);
                self.trace.node(slot, format_args!("its disk is stalled: {stalled}"));
                self.disk(slot)?.stall(stalled);
                Ok(())
            }
            77..80 => self.fail_a_disk(),
            80..85 => self.cut_a_write(),
            85..88 => self.transfer().await,
            _ => self.take_aim(),
        }
    }

    /// Starts whatever is down, whatever it was that brought it down. A disk that
    /// fails while its node boots keeps it down a little longer.
    async fn revive(&mut self) -> Result<(), Broken> {
        for slot in 0..self.slots.len() {
            if self.up(slot).is_err() && self.rng.per_mille(800) {
                self.disk(slot)?.stall(false);
                let faulty = self.disk(slot)?.has_faults();
                match self.try_start(slot).await {
                    Ok(()) => {}
                    Err(why) if faulty => {
                        self.trace.node(slot, format_args!("did not start: {why}"));
                        let survivors = self.survivors();
                        self.disk(slot)?.crash(survivors);
                    }
                    Err(why) => {
                        let what = format!("n{slot} did not start: {why}");
                        return Err(Broken::new("boot", crate::promise::Promise::D4, what));
                    }
                }
            }
        }
        Ok(())
    }

    fn fail_a_disk(&mut self) -> Result<(), Broken> {
        let slot = self.anyone();
        let (sync, drop_dirty) = (self.rng.per_mille(600), self.rng.per_mille(500));
        self.trace.node(slot, format_args!("its disk will fail once; at a sync: {sync}"));
        self.disk(slot)?.with_faults(|faults| {
            (faults.fail_sync, faults.fail_write, faults.drop_dirty) = (sync, !sync, drop_dirty);
        });
        Ok(())
    }

    /// A power loss between two of a write's operations.
    fn cut_a_write(&mut self) -> Result<(), Broken> {
        let (slot, after) = (self.anyone(), self.rng.below(12));
        self.trace.node(slot, format_args!("will lose power after {after} more disk operations"));
        self.disk(slot)?.with_faults(|faults| faults.crash_after = Some(after));
        Ok(())
    }

    async fn transfer(&mut self) -> Result<(), Broken> {
        let (from, to) = (self.anyone(), self.anyone());
        let to = self.member(to)?;
        if let Ok(up) = self.up(from) {
            let handed = up.node.transfer_leadership(&to).await;
            self.trace.node(from, format_args!("is asked to hand over to {to}: {}", handed.is_ok()));
        }
        Ok(())
    }

    fn take_aim(&mut self) -> Result<(), Broken> {
        let sign = self.rng.pick(&SIGNS).copied().unwrap_or(Sign::Grant);
        let moment = if self.rng.per_mille(700) { Moment::After } else { Moment::Before };
        let skip = u32::try_from(self.rng.below(3)).unwrap_or_default();
        self.trace.note(&"sim", &format_args!("aims at {sign:?}, {moment:?}"));
        self.monitor.aim(Aim { slot: None, sign, moment, skip });
        // An aim at votes is idle until someone stands: often the leader goes with it.
        if matches!(sign, Sign::Grant | Sign::Candidacy) && self.rng.per_mille(600) {
            let leader = self.running().into_iter().find(|slot| self.up(*slot).is_ok_and(|up| up.node.is_leader()));
            if let Some(leader) = leader {
                let survivors = self.survivors();
                self.kill(leader, survivors)?;
            }
        }
        Ok(())
    }
}
