//! A schedule takes its course, under load.

use super::World;
use crate::checks::Broken;
use crate::disk::{Faults, Survivors};
use crate::monitor::Aim;
use crate::network::Conditions;
use crate::promise::Promise;
use crate::rng::Rng;
use crate::schedule::{Fault, Schedule, Step, Whom};

impl World {
    /// Clients write while faults come and go, as the seed and the options say.
    pub async fn storm(&mut self) -> Result<(), Broken> {
        let schedule = Schedule::draw(self.seed, &self.options);
        let kept = self.options.kept.clone();
        let clients: Vec<_> = (0..self.options.clients).map(|_| self.client()).collect();
        for (step, number) in schedule.steps.iter().zip(0..) {
            self.pass(step.after).await;
            self.reap(step.survivors)?;
            if kept.has(number) {
                self.trace.note(&"sim", &format_args!("step {number}: {}", step.fault));
                self.rng = Rng::new(step.chance, "step");
                Box::pin(self.take(step)).await?;
            }
        }
        clients.iter().for_each(tokio::task::AbortHandle::abort);
        Ok(())
    }

    fn at(&self, whom: Whom) -> usize {
        whom.among(self.slots.len())
    }

    async fn take(&mut self, step: &Step) -> Result<(), Broken> {
        match step.fault {
            Fault::Revive => self.revive(800, step.survivors).await,
            Fault::Calm(time) => {
                self.mend()?;
                self.revive(1_000, step.survivors).await?;
                self.pass(time).await;
                Ok(())
            }
            Fault::Kill(whom) => self.kill(self.at(whom), step.survivors),
            Fault::Blackout => (0..self.slots.len()).try_for_each(|slot| self.kill(slot, step.survivors)),
            Fault::Cut(sides) => {
                let (one, two) = sides.of(self.slots.len());
                self.network.cut(&one, &two);
                Ok(())
            }
            Fault::CutOneWay(sides) => {
                let (one, two) = sides.of(self.slots.len());
                self.network.cut_one_way(&one, &two);
                Ok(())
            }
            Fault::CutPair(a, b) => {
                self.network.cut(&[self.at(a)], &[self.at(b)]);
                Ok(())
            }
            Fault::Bridge(sides) => {
                let (mut one, mut two) = sides.of(self.slots.len());
                // The bridge is taken from the larger side; two members have none.
                let larger = if one.len() > two.len() { &mut one } else { &mut two };
                if larger.len() > 1 {
                    larger.truncate(larger.len() - 1);
                    self.network.cut(&one, &two);
                }
                Ok(())
            }
            Fault::Clog { sides, time } => {
                let (one, two) = sides.of(self.slots.len());
                self.network.clog_for(&one, &two, time);
                Ok(())
            }
            Fault::Pause { whom, time } => self.pause_for(self.at(whom), time),
            Fault::Jump(by) => {
                self.jump(by).await;
                Ok(())
            }
            Fault::Heal => {
                self.network.heal();
                Ok(())
            }
            Fault::Rough => {
                self.network.conditions(Conditions::ROUGH);
                Ok(())
            }
            Fault::Smooth => {
                self.network.conditions(self.options.network);
                Ok(())
            }
            Fault::Stall(whom) => self.disk(self.at(whom)).map(|disk| disk.stall(true)),
            Fault::Unstall(whom) => {
                self.disk(self.at(whom))?.stall(false);
                self.spoil(whom, |faults| faults.slow = 0)
            }
            Fault::FailWrite(whom) => self.spoil(whom, |faults| faults.fail_write = true),
            Fault::FailSync { whom, drop_dirty } => {
                self.spoil(whom, |faults| (faults.fail_sync, faults.drop_dirty) = (true, drop_dirty))
            }
            Fault::Slow(whom) => self.spoil(whom, |faults| faults.slow = 50),
            Fault::FailRead(whom) => self.spoil(whom, |faults| faults.fail_next_read = true),
            Fault::Rot { whom, rot } => self.rot(self.at(whom), rot),
            Fault::CutSync { whom, skip, moment } => {
                self.spoil(whom, |faults| faults.crash_at_sync = Some((skip.into(), moment)))
            }
            Fault::CutWrite { whom, after } => self.spoil(whom, |faults| faults.crash_after = Some(after.into())),
            Fault::Transfer { from, to } => self.hand_over(self.at(from), self.at(to)).await,
            Fault::Aim { sign, moment, skip, at_leader } => {
                self.monitor.aim(Aim { slot: None, sign, moment, skip: skip.into() });
                if at_leader { self.kill_the_leader(step.survivors) } else { Ok(()) }
            }
            Fault::Churn => Box::pin(self.churn()).await,
        }
    }

    /// Ends what is wrong with network and disks.
    fn mend(&mut self) -> Result<(), Broken> {
        self.monitor.hold_fire();
        self.resume_all()?;
        self.network.heal();
        self.network.conditions(self.options.network);
        for slot in &self.slots {
            slot.disk.with_faults(|faults| *faults = Faults::default());
            slot.disk.stall(false);
        }
        Ok(())
    }

    /// Starts what is down, each with this chance in a thousand. A disk that fails
    /// while its node boots keeps it down a little longer.
    async fn revive(&mut self, chance: u32, survivors: Survivors) -> Result<(), Broken> {
        for slot in 0..self.slots.len() {
            if self.up(slot).is_err() && self.rng.per_mille(chance) {
                self.disk(slot)?.stall(false);
                let faulty = self.disk(slot)?.has_faults();
                match self.try_start(slot).await {
                    Ok(()) => {}
                    Err(why) if faulty => {
                        self.trace.node(slot, format_args!("did not start: {why}"));
                        self.disk(slot)?.crash(survivors);
                    }
                    Err(why) => {
                        let what = format!("n{slot} did not start: {why}");
                        return Err(Broken::new("restart", Promise::D4, what));
                    }
                }
            }
        }
        Ok(())
    }

    fn spoil(&mut self, whom: Whom, change: impl FnOnce(&mut Faults)) -> Result<(), Broken> {
        self.disk(self.at(whom)).map(|disk| disk.with_faults(change))
    }

    async fn hand_over(&mut self, from: usize, to: usize) -> Result<(), Broken> {
        let to = self.member(to)?;
        // The storm itself must not wait for a paused node.
        if let Ok(up) = self.up(from)
            && up.life.responds()
        {
            let handed = up.node.transfer_leadership(&to).await;
            self.trace.node(from, format_args!("is asked to hand over to {to}: {}", handed.is_ok()));
        }
        Ok(())
    }

    fn kill_the_leader(&mut self, survivors: Survivors) -> Result<(), Broken> {
        let leads = |slot: &usize| self.up(*slot).is_ok_and(|up| up.node.is_leader());
        match self.running().into_iter().find(leads) {
            Some(leader) => self.kill(leader, survivors),
            None => Ok(()),
        }
    }
}
