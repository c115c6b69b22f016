//! Documents that depend on the kinds alone: built when they are first asked for, then kept.

use crate::views::View;
use crate::virtuals;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hypermesh_api::request::RequestInfo;
use hypermesh_pipeline::Registry;
use hypermesh_schemas::KindDefinition;
use hypermesh_wire::gnostic::Form;
use hypermesh_wire::{Catalog, IncludeObject, Root, TableFormat, VirtualResource, openapi, openapi2};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, OnceLock};

/// Discovery, OpenAPI and table formats of a set of kinds.
pub(crate) struct Documents {
    registry: Arc<Registry>,
    /// Without schemas: those are made for a document, and go with it.
    virtuals: Vec<VirtualResource>,
    views: Vec<Arc<View>>,
    server: String,
    kept: Mutex<BTreeMap<String, Option<Document>>>,
    tables: Mutex<BTreeMap<(String, u8), Arc<TableFormat>>>,
    /// What OpenAPI v2 is known by.
    openapi2: OnceLock<String>,
    /// Its documents, by form.
    packed: [OnceLock<Bytes>; 2],
}

/// A document and its tag.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub bytes: Bytes,
    pub etag: String,
}

impl Documents {
    /// The documents of `registry`; `server` is where clients reach it.
    pub fn new(registry: Arc<Registry>, server: String) -> Self {
        let views = View::all(&registry);
        let shown = views.iter().flat_map(|view| view.resources(false));
        Self {
            virtuals: virtuals::resources().into_iter().chain(shown).collect(),
            registry,
            views,
            server,
            kept: Mutex::new(BTreeMap::new()),
            tables: Mutex::new(BTreeMap::new()),
            openapi2: OnceLock::new(),
            packed: [OnceLock::new(), OnceLock::new()],
        }
    }

    /// Whether these are documents of `registry`.
    pub fn are_of(&self, registry: &Arc<Registry>) -> bool {
        Arc::ptr_eq(&self.registry, registry)
    }

    /// What is served but not stored.
    pub fn virtuals(&self) -> &[VirtualResource] {
        &self.virtuals
    }

    /// The view that a request is about.
    pub fn view(&self, info: &RequestInfo) -> Option<Arc<View>> {
        self.views.iter().find(|view| view.is_asked(info)).cloned()
    }

    /// Makes something of the catalog of everything that is served.
    fn with_catalog<T>(&self, work: impl FnOnce(&Catalog<'_>) -> T) -> T {
        let shown = self.views.iter().flat_map(|view| view.resources(true));
        let virtuals: Vec<VirtualResource> = virtuals::resources().into_iter().chain(shown).collect();
        let kinds: Vec<KindDefinition> = self.registry.iter().map(|kind| kind.described()).collect();
        work(&Catalog::new(&kinds, &virtuals))
    }

    fn keep(&self, name: String, build: impl FnOnce(&Catalog<'_>) -> Option<Vec<u8>>) -> Option<Document> {
        self.keep_known(name, |catalog| {
            build(catalog).map(|bytes| {
                let etag = hypermesh_wire::etag(&bytes);
                (bytes, etag)
            })
        })
    }

    /// [`Self::keep`] of a document that is known by something else than the hash of its bytes.
    fn keep_known(
        &self,
        name: String,
        build: impl FnOnce(&Catalog<'_>) -> Option<(Vec<u8>, String)>,
    ) -> Option<Document> {
        if let Some(found) = self.kept.lock().get(&name) {
            return found.clone();
        }
        let built = self.with_catalog(build).map(|(bytes, etag)| Document { bytes: bytes.into(), etag });
        // Only what is served is kept: names that clients make up must not fill the memory.
        if built.is_some() {
            self.kept.lock().insert(name, built.clone());
        }
        built
    }

    /// Aggregated discovery of `/api` or `/apis`.
    pub fn aggregated(&self, root: Root) -> Option<Document> {
        let name = if root == Root::Api { "aggregated/api" } else { "aggregated/apis" };
        self.keep(name.to_owned(), |catalog| Some(hypermesh_wire::aggregated(catalog, root)))
    }

    /// The legacy document at a path such as `/api`, `/apis/apps` or `/api/v1`.
    pub fn legacy(&self, path: &str) -> Option<Document> {
        let server = &self.server;
        self.keep(path.to_owned(), |catalog| {
            match path.trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
                ["api"] => Some(hypermesh_wire::api_versions(catalog, server)),
                ["api", version] => hypermesh_wire::api_resource_list(catalog, "", version),
                ["apis"] => Some(hypermesh_wire::api_group_list(catalog)),
                ["apis", group] => hypermesh_wire::api_group(catalog, group),
                ["apis", group, version] => hypermesh_wire::api_resource_list(catalog, group, version),
                _ => None,
            }
        })
    }

    /// The index of OpenAPI v3.
    pub fn openapi_index(&self) -> Option<Document> {
        self.keep("openapi/".to_owned(), |catalog| Some(openapi::index(catalog)))
    }

    /// A document of OpenAPI v3 (`api/v1`, `apis/apps/v1`), which is known by what the index says, whatever its form.
    pub fn openapi(&self, below: &str, form: Form) -> Option<Document> {
        let kept = match form {
            Form::Json => "openapi",
            Form::Protobuf => "openapi-protobuf",
        };
        self.keep_known(format!("{kept}/{below}"), |catalog| {
            let (group, version) = match below.split('/').collect::<Vec<_>>()[..] {
                ["api", version] => ("", version),
                ["apis", group, version] => (group, version),
                _ => return None,
            };
            let document = openapi::document(catalog, group, version, form)?;
            Some((document, openapi::document_hash(catalog, group, version)))
        })
    }

    /// What the documents of OpenAPI v2 are known by, without making them.
    pub fn openapi2_tag(&self) -> &str {
        self.openapi2.get_or_init(|| self.with_catalog(openapi2::hash))
    }

    /// A document of OpenAPI v2, made when it is first asked for. It is of everything at once, so it is kept as it goes
    /// out to who takes gzip, a tenth of its size.
    pub fn openapi2(&self, form: Form) -> std::io::Result<Bytes> {
        let kept = match form {
            Form::Json => &self.packed[0],
            Form::Protobuf => &self.packed[1],
        };
        if let Some(packed) = kept.get() {
            return Ok(packed.clone());
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&self.with_catalog(|catalog| openapi2::document(catalog, form)))?;
        let mut packed = encoder.finish()?;
        packed.shrink_to_fit();
        Ok(kept.get_or_init(|| packed.into()).clone())
    }

    /// How a kind is shown as a table.
    pub fn table(&self, kind: &hypermesh_pipeline::Kind, include: IncludeObject) -> Arc<TableFormat> {
        let definition = &kind.definition;
        let place = (format!("{}/{}", definition.group, definition.names.plural), include as u8);
        let is_shown = |view: &&Arc<View>| {
            let shown = &view.kind.definition;
            shown.group == definition.group && shown.names.plural == definition.names.plural
        };
        let view = self.views.iter().find(is_shown);
        let mut tables = self.tables.lock();
        let format = tables.entry(place).or_insert_with(|| {
            Arc::new(match view {
                Some(view) => TableFormat::projected(definition, view.projection, include),
                None => TableFormat::new(definition, include),
            })
        });
        Arc::clone(format)
    }
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents").finish_non_exhaustive()
    }
}
