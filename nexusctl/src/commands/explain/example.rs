//! A manifest that has a field, and that a server takes as it stands: as far as the schema's own words tell, and as the
//! code that servers judge by confirms. Pure.
//!
//! What the schema gives as example, default or choice goes first; then what people write in such fields. What needs
//! others beside it gets them. What does not hold, by pattern, bounds, format or rule, is never shown: rather no example
//! than one that a server refuses.

mod words;

use crate::{discovery::Resource, offline};
use hypermesh_pipeline::Kind;
use hypermesh_structural::{Budget, RULE_BUDGET, Schema};
use serde_json::{Map, Value, json};
use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};
use words::{KEYS, NAMES, OF_RESOURCES, leaf};

/// Levels of a value that are filled in.
const DEEPEST: usize = 16;
/// Values of one place that are tried in what stands around them.
const MOST: usize = 32;
/// The same of what stands beside a value.
const MOST_BESIDE: usize = 4;
/// Fields of an object that are given other values.
const MOST_MENDED: usize = 4;
/// What a schema need not say of an object, or says of its server.
const OF_ALL: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// A schema, which refers to nothing, without what it need not say of an object.
pub(super) fn own(mut schema: Value) -> Value {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| !OF_ALL.contains(&name.as_str()));
    }
    if let Some(keywords) = schema.as_object_mut() {
        keywords.remove("x-kubernetes-group-version-kind");
    }
    schema
}

/// Manifests of a kind.
pub(super) struct Examples<'s> {
    schema: &'s Value,
    resource: &'s Resource,
    judge: Schema,
    /// What judges beyond the schema, of kinds that this program was built with.
    kind: Option<Kind>,
    /// The usual search, and the one that tries more.
    searches: [Search; 2],
}

impl<'s> Examples<'s> {
    /// Of a kind whose [`own`] schema this is; `None` where there are none, or where a server would not take the schema.
    pub(super) fn of(schema: &'s Value, resource: &'s Resource) -> Option<Self> {
        // What is asked and not kept, or made by others only, nobody keeps manifests of.
        if !["create", "patch"].iter().all(|verb| resource.verbs.iter().any(|v| v == verb)) {
            return None;
        }
        let judge = Schema::compile(schema).ok()?;
        let kind = offline::kind(&resource.api_version(), &resource.kind);
        let searches = [false, true].map(|thorough| Search { thorough, ..Search::default() });
        Some(Self { schema, resource, judge, kind, searches })
    }

    /// A manifest that has what `fields` lead to. `None` where none is known that a server would take, or where the field
    /// is not for those who write manifests.
    pub(super) fn manifest(&self, fields: &[String]) -> Option<Value> {
        let (head, below) = head(self.resource, fields)?;
        let faults = |object: &Value| match (faults(&self.judge, object), &self.kind) {
            (none, Some(kind)) if none.is_empty() => offline::faults(kind, object.clone()),
            (faults, _) => faults,
        };
        let place = Place { schema: self.schema, name: "", within: "", below, depth: 0 };
        self.searches.iter().find_map(|search| {
            NAMES.iter().find_map(|name| {
                let mut members = head.clone();
                if let Some(Value::Object(metadata)) = members.get_mut("metadata") {
                    metadata.insert("name".to_owned(), json!(name));
                }
                search.objects(place, &members, 1, &faults).pop()
            })
        })
    }
}

/// What stands at the top of a manifest, and the fields that are still to be below it. `None` where the field is the
/// server's.
fn head<'f>(resource: &Resource, fields: &'f [String]) -> Option<(Map<String, Value>, &'f [String])> {
    let mut metadata = Map::new();
    let below = match fields.split_first() {
        Some((first, below)) if first == "metadata" => {
            if let Some((field, below)) = below.split_first() {
                metadata.insert(field.clone(), words::of_metadata(field, below, resource.namespaced)?);
            }
            &[]
        }
        Some((first, _)) if OF_ALL.contains(&first.as_str()) => return None,
        _ if words::is_of_state(&resource.kind, fields) => return None,
        _ => fields,
    };
    let head = [
        ("apiVersion", json!(resource.api_version())),
        ("kind", json!(resource.kind)),
        ("metadata", Value::Object(metadata)),
    ];
    Some((head.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(), below))
}

/// A place in a manifest.
#[derive(Clone, Copy)]
struct Place<'s> {
    schema: &'s Value,
    /// The name of its field, and of the one around it.
    name: &'s str,
    within: &'s str,
    /// The fields that its value must have.
    below: &'s [String],
    /// How far down it is.
    depth: usize,
}

impl<'s> Place<'s> {
    /// What an item or an entry of it is.
    fn item(self, schema: &'s Value) -> Self {
        Self { schema, depth: self.depth + 1, ..self }
    }

    /// A member, or an entry by its key.
    fn member(self, schema: &'s Value, name: &'s str, below: &'s [String]) -> Self {
        Self { schema, name, within: self.name, below, depth: self.depth + 1 }
    }
}

/// The fields that are wrong in a value; nothing where it holds.
type Faults<'f> = &'f dyn Fn(&Value) -> Vec<String>;
/// Where a schema is, and how many values were asked for.
type Asked = (usize, String, usize);

/// What is known of the places of one schema, which stays where it is as long as it is searched.
#[derive(Default)]
struct Search {
    judges: RefCell<BTreeMap<usize, Option<Rc<Schema>>>>,
    found: RefCell<BTreeMap<Asked, Rc<Vec<Value>>>>,
    /// Whether what holds is also offered with more beside it, for what is around it.
    thorough: bool,
}

impl Search {
    /// What judges values of a schema; `None` where a server would not take the schema either.
    fn judge(&self, schema: &Value) -> Option<Rc<Schema>> {
        let key = std::ptr::from_ref(schema).addr();
        if let Some(known) = self.judges.borrow().get(&key) {
            return known.clone();
        }
        let whole = json!({"type": "object", "properties": {"value": schema}});
        let judge = Schema::compile(&whole).ok().map(Rc::new);
        self.judges.borrow_mut().insert(key, judge.clone());
        judge
    }

    /// Values that may stand at a place, likeliest first: `most` of them at most.
    fn values(&self, place: Place<'_>, most: usize) -> Rc<Vec<Value>> {
        if !place.below.is_empty() {
            return Rc::new(self.look(place, most));
        }
        let key = (std::ptr::from_ref(place.schema).addr(), place.name.to_owned(), most);
        if let Some(known) = self.found.borrow().get(&key) {
            return Rc::clone(known);
        }
        let values = Rc::new(self.look(place, most));
        self.found.borrow_mut().insert(key, Rc::clone(&values));
        values
    }

    fn look(&self, place: Place<'_>, most: usize) -> Vec<Value> {
        let judge = if place.depth > DEEPEST { None } else { self.judge(place.schema) };
        let Some(judge) = judge else { return Vec::new() };
        let faults = |value: &Value| {
            let faults = faults(&judge, &json!({"value": value}));
            faults
                .iter()
                .map(|field| field.trim_start_matches("value").trim_start_matches('.').to_owned())
                .collect()
        };
        let mut found = Found { values: Vec::new(), most, faults: &faults };
        let (schema, ends) = (place.schema, place.below.is_empty());
        if ends {
            found.add(given(schema));
        }
        if let Some(items) = schema.get("items") {
            found.add(self.values(place.item(items), most).iter().map(|item| json!([item])));
            found.add(ends.then(|| json!([])));
        } else if schema.get("properties").is_some() {
            found.add(self.objects(place, &Map::new(), most, &faults));
        } else if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
            let usual = if OF_RESOURCES.contains(&place.name) { Some("cpu") } else { None };
            for key in usual.iter().chain(&KEYS) {
                let entry =
                    |value: &Value| Value::Object(Map::from_iter([((*key).to_owned(), value.clone())]));
                found.add(self.values(place.member(values, key, place.below), 1).iter().map(entry));
            }
            found.add(ends.then(|| json!({})));
        } else if ends {
            found.add(leaf(schema, place.name, place.within));
        }
        found.values
    }

    /// Objects with what is required of them, and with what must be below. Where rules ask for more, what they point at
    /// is given other values, and members are added: one, and then two.
    fn objects(
        &self,
        place: Place<'_>,
        head: &Map<String, Value>,
        most: usize,
        faults: Faults<'_>,
    ) -> Vec<Value> {
        let Some(properties) = place.schema.get("properties").and_then(Value::as_object) else {
            // A kind may have no field of its own.
            return Some(Value::Object(head.clone())).filter(|o| faults(o).is_empty()).into_iter().collect();
        };
        let member = |name: &str, below, most| match properties.get_key_value(name) {
            Some((name, schema)) => self.values(place.member(schema, name, below), most),
            None => Rc::default(),
        };
        let wanted = place.below.split_first();
        let is_wanted = |name: &str| wanted.is_some_and(|(wanted, _)| wanted == name);
        let mut members = head.clone();
        let mut required = Vec::new();
        for name in place.schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let name = name.as_str().unwrap_or_default();
            if !head.contains_key(name) && !is_wanted(name) {
                let Some(value) = member(name, &[], 1).first().cloned() else { return Vec::new() };
                members.insert(name.to_owned(), value);
                required.push(name);
            }
        }
        let beside = OnceCell::new();
        let build = Build {
            search: self,
            place,
            faults,
            beside: &|| {
                beside.get_or_init(|| {
                    let is_open = |name: &&String| !members.contains_key(*name) && !is_wanted(name);
                    let others = required.iter().map(|name| ((*name).to_owned(), member(name, &[], MOST)));
                    let optional = properties.keys().filter(is_open);
                    others
                        .chain(optional.map(|name| (name.clone(), member(name, &[], MOST_BESIDE))))
                        .collect()
                })
            },
            members: &members,
        };
        let Some((wanted, below)) = wanted else { return build.any(most) };
        let candidates = member(wanted, below, MOST);
        let mut found = Vec::new();
        for value in candidates.iter() {
            if found.len() < most {
                found.extend(build.settled(build.whole(&[(wanted, value)])));
            }
            if self.thorough && found.len() < most {
                found.extend(build.firsts().filter_map(|first| build.held(&[(wanted, value), first])));
            }
        }
        found.truncate(most);
        if found.is_empty() {
            found.extend(candidates.iter().filter_map(|value| build.with(wanted, value)).take(most));
        }
        found
    }
}

/// Values that hold, each once.
struct Found<'a> {
    values: Vec<Value>,
    most: usize,
    faults: Faults<'a>,
}

impl Found<'_> {
    fn add(&mut self, values: impl IntoIterator<Item = Value>) {
        for value in values {
            if self.values.len() >= self.most {
                return;
            }
            if !self.values.contains(&value) && (self.faults)(&value).is_empty() {
                self.values.push(value);
            }
        }
    }
}

/// How an object is put together.
struct Build<'a> {
    search: &'a Search,
    place: Place<'a>,
    /// What it has in any case.
    members: &'a Map<String, Value>,
    /// Members that it may have instead or besides, each with its values.
    beside: &'a dyn Fn() -> &'a Vec<(String, Rc<Vec<Value>>)>,
    faults: Faults<'a>,
}

impl Build<'_> {
    /// The object with these members.
    fn whole(&self, more: &[(&str, &Value)]) -> Value {
        let mut object = self.members.clone();
        for (name, value) in more {
            object.insert((*name).to_owned(), (*value).clone());
        }
        Value::Object(object)
    }

    fn held(&self, more: &[(&str, &Value)]) -> Option<Value> {
        Some(self.whole(more)).filter(|object| (self.faults)(object).is_empty())
    }

    /// The object, if it holds, or does with other values where it is wrong.
    fn settled(&self, mut object: Value) -> Option<Value> {
        let mut faults = (self.faults)(&object);
        for _ in 0..MOST_MENDED {
            if faults.is_empty() {
                return Some(object);
            }
            let fewer = faults.iter().take(MOST_BESIDE).find_map(|field| {
                let place = below(Place { below: &[], ..self.place }, field)?;
                let values = self.search.values(place, MOST_BESIDE);
                values.iter().find_map(|value| {
                    let mut other = object.clone();
                    set(&mut other, field, value).filter(|()| has(&other, self.place.below))?;
                    let left = (self.faults)(&other);
                    (left.len() < faults.len()).then_some((other, left))
                })
            });
            (object, faults) = fewer?;
        }
        None
    }

    /// The object with a member: with as little beside it as it takes.
    fn with(&self, name: &str, value: &Value) -> Option<Value> {
        let beside = (self.beside)();
        let all = || {
            beside.iter().flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value)))
        };
        let single = |other| self.settled(self.whole(&[(name, value), other]));
        let few = all().count() <= MOST;
        // Of many members each goes with the likeliest values of the others only.
        let pair = |one: (&str, &Value)| {
            let others = all().filter(|(other, _)| *other != one.0);
            let mut others = others.filter(|other| few || self.firsts().any(|first| first == *other));
            others.find_map(|other| self.held(&[(name, value), one, other]))
        };
        all()
            .find_map(single)
            .or_else(|| if few { all().find_map(pair) } else { self.firsts().find_map(pair) })
    }

    /// Members that may stand beside, each with its likeliest value.
    fn firsts(&self) -> impl Iterator<Item = (&str, &Value)> {
        (self.beside)().iter().filter_map(|(name, values)| Some((name.as_str(), values.first()?)))
    }

    /// Objects of which nothing more is asked: what is required, and what may stand beside it, one by one or two.
    fn any(&self, most: usize) -> Vec<Value> {
        // An empty object says nothing about what may stand in it.
        let (empty, mut found): (Vec<Value>, Vec<Value>) =
            self.settled(self.whole(&[])).into_iter().partition(|bare| *bare == json!({}));
        if found.len() < most {
            for (name, values) in (self.beside)() {
                found.extend(values.iter().find_map(|value| self.held(&[(name, value)])));
            }
        }
        if found.is_empty() {
            found.extend(empty);
        }
        if found.is_empty() {
            found.extend(self.firsts().find_map(|(name, value)| self.with(name, value)));
        }
        found.truncate(most);
        found
    }
}

/// Whether a value has what fields lead to.
fn has(value: &Value, fields: &[String]) -> bool {
    match (value, fields.split_first()) {
        (_, None) => true,
        (Value::Array(items), _) => items.iter().any(|item| has(item, fields)),
        (Value::Object(map), Some((first, rest))) => match map.get(first) {
            Some(value) => has(value, rest),
            // The keys of a map are no fields.
            None => map.values().any(|value| has(value, fields)),
        },
        _ => false,
    }
}

/// The place that a field is at, as an error writes it: `template.spec.containers[0].name`.
fn below<'s>(place: Place<'s>, field: &str) -> Option<Place<'s>> {
    steps(field)?.into_iter().try_fold(place, |place, step| match step.parse::<usize>() {
        Ok(_) => Some(place.item(place.schema.get("items")?)),
        Err(_) => {
            let (name, schema) = place.schema.get("properties")?.as_object()?.get_key_value(step)?;
            Some(place.member(schema, name, &[]))
        }
    })
}

/// Puts a value where a field is; `None` where what should be around it is not there.
fn set(object: &mut Value, field: &str, value: &Value) -> Option<()> {
    let mut steps = steps(field)?;
    let last = steps.pop()?;
    let around = steps.into_iter().try_fold(object, |value, step| match step.parse::<usize>() {
        Ok(index) => value.get_mut(index),
        Err(_) => value.get_mut(step),
    })?;
    around.as_object_mut()?.insert(last.to_owned(), value.clone());
    Some(())
}

/// The steps of a field; `None` of the value itself, and of an entry of a map.
fn steps(field: &str) -> Option<Vec<&str>> {
    let steps: Vec<&str> = field.split(['.', '[']).map(|step| step.trim_end_matches(']')).collect();
    Some(steps).filter(|steps| steps.iter().all(|step| !step.is_empty() && !step.contains(']')))
}

/// What a schema itself says of its values.
fn given(schema: &Value) -> Vec<Value> {
    let one = ["example", "default"].iter().filter_map(|key| schema.get(key));
    let listed = ["examples", "enum"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    let says_nothing = |value: &&Value| [json!(null), json!({}), json!([]), json!("")].contains(value);
    one.chain(listed).filter(|value| !says_nothing(value)).cloned().collect()
}

/// The fields that are wrong in a value; rules see it with its defaults, as a server runs them.
fn faults(judge: &Schema, value: &Value) -> Vec<String> {
    let mut value = value.clone();
    judge.apply_defaults(&mut value);
    let errors = judge.validate(&value, None, &mut Budget::new(RULE_BUDGET));
    errors.into_iter().map(|error| error.field).collect()
}

#[cfg(test)]
mod tests;
