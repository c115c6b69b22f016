//! The functions rules may call: name, style, number of arguments, implementation.
//!
//! Types are checked when a function runs (`no such overload`), since a document's fields have no type
//! before that; names and numbers of arguments are checked here.

use crate::library::{
    Call, RegexCall, convert, format, lists, net, optional, quantity, regex, semver, sets, shared, strings,
    time, url,
};

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `f(x)`
    Global,
    /// `x.f()`
    Member,
    /// `space.f(x)`
    Namespaced(&'static str),
}

/// A function and the numbers of arguments it takes, the receiver not counted.
pub(super) struct Function {
    style: Style,
    name: &'static str,
    arity: (usize, usize),
    pub(super) call: Call,
    /// The implementation for a pattern compiled beforehand.
    pub(super) regex: Option<RegexCall>,
}

const fn global(name: &'static str, least: usize, most: usize, call: Call) -> Function {
    Function { style: Style::Global, name, arity: (least, most), call, regex: None }
}

const fn member(name: &'static str, least: usize, most: usize, call: Call) -> Function {
    Function { style: Style::Member, name, arity: (least, most), call, regex: None }
}

const fn spaced(space: &'static str, name: &'static str, arity: usize, call: Call) -> Function {
    Function { style: Style::Namespaced(space), name, arity: (arity, arity), call, regex: None }
}

const NAMESPACES: [&str; 8] = ["base64", "cidr", "format", "ip", "lists", "optional", "sets", "strings"];

/// The namespace of this name.
pub(super) fn namespace(name: &str) -> Option<&'static str> {
    NAMESPACES.iter().copied().find(|known| *known == name)
}

/// The function of this style and name that takes `given` arguments.
pub(super) fn find(style: Style, name: &str, given: usize) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| {
        function.style == style
            && function.name == name
            && (function.arity.0..=function.arity.1).contains(&given)
    })
}

/// Whether any function has this name.
pub(super) fn exists(name: &str) -> bool {
    FUNCTIONS.iter().any(|function| function.name == name)
}

static FUNCTIONS: &[Function] = &[
    // The language itself.
    global("size", 1, 1, shared::size),
    member("size", 0, 0, shared::size),
    global("type", 1, 1, convert::type_of),
    global("dyn", 1, 1, convert::dynamic),
    global("int", 1, 1, convert::int),
    global("uint", 1, 1, convert::uint),
    global("double", 1, 1, convert::double),
    global("bool", 1, 1, convert::bool),
    global("string", 1, 1, convert::string),
    global("bytes", 1, 1, convert::bytes),
    global("duration", 1, 1, convert::duration),
    global("timestamp", 1, 1, convert::timestamp),
    member("contains", 1, 1, strings::contains),
    member("startsWith", 1, 1, strings::starts_with),
    member("endsWith", 1, 1, strings::ends_with),
    Function { regex: Some(regex::matches_compiled), ..member("matches", 1, 1, regex::matches) },
    Function { regex: Some(regex::matches_compiled), ..global("matches", 2, 2, regex::matches) },
    member("getFullYear", 0, 1, time::full_year),
    member("getMonth", 0, 1, time::month),
    member("getDate", 0, 1, time::date),
    member("getDayOfMonth", 0, 1, time::day_of_month),
    member("getDayOfWeek", 0, 1, time::day_of_week),
    member("getDayOfYear", 0, 1, time::day_of_year),
    member("getHours", 0, 1, time::hours),
    member("getMinutes", 0, 1, time::minutes),
    member("getSeconds", 0, 1, time::seconds),
    member("getMilliseconds", 0, 1, time::milliseconds),
    // Optional values.
    spaced("optional", "of", 1, optional::of),
    spaced("optional", "none", 0, optional::none),
    spaced("optional", "ofNonZeroValue", 1, optional::of_non_zero_value),
    member("hasValue", 0, 0, optional::has_value),
    member("value", 0, 0, optional::value),
    member("or", 1, 1, optional::or),
    member("orValue", 1, 1, optional::or_value),
    // cel-go's strings.
    member("charAt", 1, 1, strings::char_at),
    member("lowerAscii", 0, 0, strings::lower_ascii),
    member("upperAscii", 0, 0, strings::upper_ascii),
    member("replace", 2, 3, strings::replace),
    member("split", 1, 2, strings::split),
    member("substring", 1, 2, strings::substring),
    member("trim", 0, 0, strings::trim),
    member("join", 0, 1, strings::join),
    member("format", 1, 1, strings::format),
    spaced("strings", "quote", 1, strings::quote),
    member("indexOf", 1, 2, shared::index_of),
    member("lastIndexOf", 1, 2, shared::last_index_of),
    member("reverse", 0, 0, shared::reverse),
    // Kubernetes' regular expressions.
    Function { regex: Some(regex::find_compiled), ..member("find", 1, 1, regex::find) },
    Function { regex: Some(regex::find_all_compiled), ..member("findAll", 1, 2, regex::find_all) },
    // Kubernetes' and cel-go's lists.
    member("isSorted", 0, 0, lists::is_sorted),
    member("sum", 0, 0, lists::sum),
    member("min", 0, 0, lists::min),
    member("max", 0, 0, lists::max),
    member("slice", 2, 2, lists::slice),
    member("flatten", 0, 1, lists::flatten),
    member("distinct", 0, 0, lists::distinct),
    member("sort", 0, 0, lists::sort),
    member("first", 0, 0, lists::first),
    member("last", 0, 0, lists::last),
    spaced("lists", "range", 1, lists::range),
    // cel-go's sets.
    spaced("sets", "contains", 2, sets::contains),
    spaced("sets", "equivalent", 2, sets::equivalent),
    spaced("sets", "intersects", 2, sets::intersects),
    // cel-go's encoders.
    spaced("base64", "encode", 1, convert::base64_encode),
    spaced("base64", "decode", 1, convert::base64_decode),
    // Kubernetes' URLs.
    global("url", 1, 1, url::url),
    global("isURL", 1, 1, url::is_url),
    member("getScheme", 0, 0, url::scheme),
    member("getHost", 0, 0, url::host),
    member("getHostname", 0, 0, url::hostname),
    member("getPort", 0, 0, url::port),
    member("getEscapedPath", 0, 0, url::escaped_path),
    member("getQuery", 0, 0, url::query),
    // Kubernetes' IP addresses and networks.
    global("ip", 1, 1, net::ip),
    global("isIP", 1, 1, net::is_ip),
    spaced("ip", "isCanonical", 1, net::is_canonical),
    member("family", 0, 0, net::family),
    member("isUnspecified", 0, 0, net::is_unspecified),
    member("isLoopback", 0, 0, net::is_loopback),
    member("isLinkLocalMulticast", 0, 0, net::is_link_local_multicast),
    member("isLinkLocalUnicast", 0, 0, net::is_link_local_unicast),
    member("isGlobalUnicast", 0, 0, net::is_global_unicast),
    global("cidr", 1, 1, net::cidr),
    global("isCIDR", 1, 1, net::is_cidr),
    member("containsIP", 1, 1, net::contains_ip),
    member("containsCIDR", 1, 1, net::contains_cidr),
    member("ip", 0, 0, net::network_ip),
    member("masked", 0, 0, net::masked),
    member("prefixLength", 0, 0, net::prefix_length),
    // Kubernetes' quantities.
    global("quantity", 1, 1, quantity::quantity),
    global("isQuantity", 1, 1, quantity::is_quantity),
    member("sign", 0, 0, quantity::sign),
    member("isInteger", 0, 0, quantity::is_integer),
    member("asInteger", 0, 0, quantity::as_integer),
    member("asApproximateFloat", 0, 0, quantity::as_approximate_float),
    member("add", 1, 1, quantity::add),
    member("sub", 1, 1, quantity::sub),
    member("isGreaterThan", 1, 1, shared::is_greater_than),
    member("isLessThan", 1, 1, shared::is_less_than),
    member("compareTo", 1, 1, shared::compare_to),
    // Kubernetes' semantic versions.
    global("semver", 1, 2, semver::semver),
    global("isSemver", 1, 2, semver::is_semver),
    member("major", 0, 0, semver::major),
    member("minor", 0, 0, semver::minor),
    member("patch", 0, 0, semver::patch),
    // Kubernetes' named formats.
    spaced("format", "named", 1, format::named),
    spaced("format", "dns1123Label", 0, format::dns1123_label),
    spaced("format", "dns1123Subdomain", 0, format::dns1123_subdomain),
    spaced("format", "dns1035Label", 0, format::dns1035_label),
    spaced("format", "qualifiedName", 0, format::qualified_name),
    spaced("format", "dns1123LabelPrefix", 0, format::dns1123_label_prefix),
    spaced("format", "dns1123SubdomainPrefix", 0, format::dns1123_subdomain_prefix),
    spaced("format", "dns1035LabelPrefix", 0, format::dns1035_label_prefix),
    spaced("format", "labelValue", 0, format::label_value),
    spaced("format", "uri", 0, format::uri),
    spaced("format", "uuid", 0, format::uuid),
    spaced("format", "byte", 0, format::byte),
    spaced("format", "date", 0, format::date),
    spaced("format", "datetime", 0, format::datetime),
    member("validate", 1, 1, format::validate),
];
