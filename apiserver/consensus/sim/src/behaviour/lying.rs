//! Lies to those who are behind: of heights that do not exist, with blocks that were not decided, with certificates that
//! do not hold. To who asks before a read it names a height that is too low, or one that it cannot prove.

use super::{Actor, Behaviour, as_it_is};
use crate::random::Random;
use hypermesh_bft::Message;
use hypermesh_bft::message::Decided;
use hypermesh_chain::{Block, Canonical, Height};

#[derive(Debug)]
pub(super) struct Lying;

impl Lying {
    /// Blocks that look decided, and are not.
    fn spoil(mut decided: Decided, actor: Actor<'_>, random: &mut Random) -> Decided {
        let certificate = &mut decided.certificate;
        match random.below(5) {
            0 => drop(certificate.signatures.pop()),
            1 => {
                if let Some((_, signature)) = certificate.signatures.first_mut() {
                    signature.0[0] ^= 1;
                }
            }
            2 => {
                // The same voter for all of them.
                let own = actor.identity.key.sign(&certificate.vote().message(&actor.identity.cluster));
                let key = actor.identity.key.public();
                certificate.signatures.iter_mut().for_each(|voter| *voter = (key, own));
                certificate.signatures.truncate(1);
            }
            3 => {
                // Another block under the certificate of this one.
                if let Ok(mut block) = Block::decode(&decided.block) {
                    block.header.time.0 += 1;
                    decided.block = block.encode().into();
                }
            }
            _ => {
                // Another block, and a certificate that only this replica has signed.
                if let Ok(mut block) = Block::decode(&decided.block) {
                    block.header.state.0[0] ^= 1;
                    certificate.block = block.header.id(&actor.identity.cluster);
                    let signature =
                        actor.identity.key.sign(&certificate.vote().message(&actor.identity.cluster));
                    certificate.signatures = vec![(actor.identity.key.public(), signature)];
                    decided.block = block.encode().into();
                }
            }
        }
        decided
    }
}

impl Behaviour for Lying {
    fn send(
        &mut self,
        actor: Actor<'_>,
        to: &[usize],
        message: Message,
        random: &mut Random,
    ) -> Vec<(usize, Message)> {
        match message {
            Message::Head { height } => {
                let height = Height(height.0 + random.below(1000));
                as_it_is(to, &Message::Head { height })
            }
            Message::Reached { number, height, proof } => {
                let (height, proof) = match random.below(4) {
                    0 => (Height(0), None),
                    1 => (Height(height.0 + random.below(5)), proof),
                    2 => (Height(random.number()), None),
                    _ => (height, proof),
                };
                as_it_is(to, &Message::Reached { number, height, proof })
            }
            Message::Decided(blocks) => {
                let spoilt = blocks.into_iter().map(|decided| Self::spoil(decided, actor, random)).collect();
                as_it_is(to, &Message::Decided(spoilt))
            }
            said => {
                let mut sent = as_it_is(to, &said);
                let lie = Message::Head { height: Height(random.number()) };
                sent.extend(random.clone().pick(actor.others).map(|other| (*other, lie)));
                sent
            }
        }
    }
}
