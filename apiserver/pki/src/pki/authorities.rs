//! Which authorities count, and how they change: new ones beside the old, then the old ones go.

use super::{Pki, Renewal, server_subject};
use crate::certificate::{Held, Signer, issue};
use crate::error::PkiError;
use crate::keys::KeyFile;
use crate::rotation::{self, Old};
use hypermesh_chain::PublicKey;

impl Pki {
    /// Whether clients of this folder still have certificates of the former authority of a rotation that is under way: at
    /// its end they would be shut out.
    pub fn leaves_behind(&self) -> bool {
        let Some(former) = self.old.as_ref().map(|old| old.client_ca.key_identifier()) else { return false };
        let agent = self.agent.as_ref().map(|agent| &agent.held);
        let mut clients = [&self.admin, &self.controllers].into_iter().chain(agent);
        clients.any(|held| {
            let by = held.authority_identifier();
            by.is_some() && by == former
        })
    }

    /// Begins to change the authorities: new ones are made, and both are trusted. The server goes on showing its certificate
    /// of the old one, which is all that clients of before trust. The folder's own clients follow by [`Self::take_along`].
    ///
    /// # Errors
    /// [`PkiError::Rotating`] while another rotation is under way; files that cannot be written.
    pub fn begin_rotation(&mut self, now: i64) -> Result<(), PkiError> {
        if self.old.is_some() {
            return Err(PkiError::Rotating);
        }
        rotation::begin(&self.folder, self.settings.authority_life, now)?;
        self.reload_authorities().map(drop)
    }

    /// Gives the folder's own clients certificates of the new authority, where they have none yet: for the server that takes
    /// these by now, or where none runs. Whether there was something to do.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn take_along(&mut self, now: i64) -> Result<bool, PkiError> {
        let behind = self.leaves_behind();
        if behind {
            self.reissue(Renewal { server: false, admin: true }, now)?;
        }
        Ok(behind)
    }

    /// Gives the server a certificate of the new authority, while both still count: so that it shows that before anybody is
    /// told to trust nothing else.
    ///
    /// # Errors
    /// [`PkiError::NotRotating`] when none is under way; files that cannot be written.
    pub fn show_new_authority(&mut self, now: i64) -> Result<(), PkiError> {
        if self.old.is_none() {
            return Err(PkiError::NotRotating);
        }
        let signer = Signer::Authority(&self.ca, &self.ca_key);
        let path = self.folder.join("server.crt");
        let subject = server_subject(&self.settings);
        self.server = issue(&path, &subject, &self.server_key, &signer, now, self.settings.life)?;
        Ok(())
    }

    /// Ends it: the server gets a certificate of the new authority, and the old one counts no more.
    ///
    /// # Errors
    /// [`PkiError::NotRotating`] when none is under way; files that cannot be written.
    pub fn finish_rotation(&mut self, now: i64) -> Result<(), PkiError> {
        if self.old.take().is_none() {
            return Err(PkiError::NotRotating);
        }
        self.reissue(Renewal { server: true, admin: false }, now)?;
        self.write_kubeconfigs()?;
        rotation::remove_old(&self.folder)
    }

    /// The keys of this folder's own clients whose certificates are of the present authority.
    pub fn own_clients(&self) -> Vec<PublicKey> {
        let present = self.client_ca.key_identifier();
        let agent = self.agent.as_ref().map(|agent| (&agent.key, &agent.held));
        let all = [(&self.admin_key, &self.admin), (&self.controllers_key, &self.controllers)];
        let own = all.into_iter().chain(agent).filter(|(_, held)| {
            let by = held.authority_identifier();
            by.is_some() && by == present
        });
        own.filter_map(|(key, _)| Some(key.signing_key().ok()?.public())).collect()
    }

    /// The authorities of before, while they still count.
    pub fn old(&self) -> Option<&Old> {
        self.old.as_ref()
    }

    /// The authorities whose certificates of clients are taken.
    pub fn client_authorities(&self) -> impl Iterator<Item = &Held> {
        std::iter::once(&self.client_ca).chain(self.old.iter().map(|old| &old.client_ca))
    }

    /// The authorities by which clients know the server, in PEM.
    pub fn bundle(&self) -> String {
        let old = self.old.as_ref().map_or("", |old| &old.ca.pem);
        format!("{}{old}", self.ca.pem)
    }

    /// Takes up new authorities, and that former ones count no more.
    pub(super) fn reload_authorities(&mut self) -> Result<bool, PkiError> {
        let at = |name: &str| self.folder.join(name);
        let (Some(ca), Some(client_ca)) = (Held::read(&at("ca.crt"))?, Held::read(&at("client-ca.crt"))?)
        else {
            return Ok(false);
        };
        let old = Old::read(&self.folder)?;
        let same = ca.serial == self.ca.serial
            && client_ca.serial == self.client_ca.serial
            && old.as_ref().map(|old| &old.ca.serial) == self.old.as_ref().map(|old| &old.ca.serial);
        if same {
            return Ok(false);
        }
        let (ca_key, client_ca_key) = (KeyFile::p256(at("ca.key"))?, KeyFile::p256(at("client-ca.key"))?);
        for (held, key) in [(&ca, &ca_key), (&client_ca, &client_ca_key)] {
            if held.public() != key.public() {
                // They are changed this moment: the next look finds them whole.
                let why = "its key is another one's".to_owned();
                return Err(PkiError::Damaged {
                    path: held.path.clone(),
                    what: "authority with its key",
                    why,
                });
            }
        }
        (self.ca, self.client_ca, self.old) = (ca, client_ca, old);
        (self.ca_key, self.client_ca_key) = (ca_key, client_ca_key);
        Ok(true)
    }
}
