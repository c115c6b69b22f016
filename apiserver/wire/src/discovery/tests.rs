use super::*;
use crate::catalog::{Catalog, VirtualResource};
use crate::fixtures::{asset, namespace, token};

fn text(document: Vec<u8>) -> String {
    String::from_utf8(document).unwrap()
}

#[test]
fn golden_resource_list() {
    let kinds = [asset()];
    let list = api_resource_list(&Catalog::new(&kinds, []), "hm.example.com", "v1").unwrap();
    insta::assert_snapshot!(text(list), @r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"hm.example.com/v1","resources":[{"name":"assets","singularName":"asset","namespaced":true,"kind":"Asset","verbs":["delete","deletecollection","get","list","patch","create","update","watch"],"storageVersionHash":"KigARv9gXQw="},{"name":"assets/status","singularName":"","namespaced":true,"kind":"Asset","verbs":["get","patch","update"]},{"name":"assets/scale","singularName":"","namespaced":true,"group":"autoscaling","version":"v1","kind":"Scale","verbs":["get","patch","update"]}]}"#);
    assert!(api_resource_list(&Catalog::new(&kinds, []), "hm.example.com", "v2").is_none());
}

#[test]
fn the_core_group() {
    let (kinds, virtuals) = ([namespace()], core_virtuals());
    let catalog = Catalog::new(&kinds, &virtuals);
    insta::assert_snapshot!(text(api_versions(&catalog, "127.0.0.1:6443")), @r#"{"kind":"APIVersions","serverAddressByClientCIDRs":[{"clientCIDR":"0.0.0.0/0","serverAddress":"127.0.0.1:6443"}],"versions":["v1"]}"#);
    insta::assert_snapshot!(text(api_resource_list(&catalog, "", "v1").unwrap()), @r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[{"name":"namespaces","singularName":"namespace","namespaced":false,"kind":"Namespace","verbs":["create","delete","get","list","patch","update","watch"],"shortNames":["ns"],"storageVersionHash":"Q3oi5N2YM8M="},{"name":"namespaces/status","singularName":"","namespaced":false,"kind":"Namespace","verbs":["get","patch","update"]},{"name":"namespaces/finalize","singularName":"","namespaced":false,"kind":"Namespace","verbs":["update"]},{"name":"serviceaccounts","singularName":"serviceaccount","namespaced":true,"kind":"ServiceAccount","verbs":["get"]},{"name":"serviceaccounts/token","singularName":"","namespaced":true,"group":"authentication.k8s.io","version":"v1","kind":"TokenRequest","verbs":["create"]}]}"#);
}

fn core_virtuals() -> Vec<VirtualResource> {
    let mut account = token();
    account.subresource = None;
    account.singular = "serviceaccount".into();
    account.kind = "ServiceAccount".into();
    account.kind_group_version = None;
    account.verbs = vec!["get".into()];
    vec![token(), account]
}

#[test]
fn groups() {
    let kinds = [asset(), namespace()];
    let catalog = Catalog::new(&kinds, []);
    insta::assert_snapshot!(text(api_group_list(&catalog)), @r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"hm.example.com","versions":[{"groupVersion":"hm.example.com/v1","version":"v1"}],"preferredVersion":{"groupVersion":"hm.example.com/v1","version":"v1"}}]}"#);
    insta::assert_snapshot!(text(api_group(&catalog, "hm.example.com").unwrap()), @r#"{"kind":"APIGroup","apiVersion":"v1","name":"hm.example.com","versions":[{"groupVersion":"hm.example.com/v1","version":"v1"}],"preferredVersion":{"groupVersion":"hm.example.com/v1","version":"v1"}}"#);
    assert!(api_group(&catalog, "none").is_none());
    assert!(api_group(&catalog, "").is_none());
}

#[test]
fn aggregated_documents() {
    let (kinds, virtuals) = ([asset(), namespace()], core_virtuals());
    let catalog = Catalog::new(&kinds, &virtuals);
    insta::assert_snapshot!(text(aggregated(&catalog, Root::Apis)), @r#"{"apiVersion":"apidiscovery.k8s.io/v2","items":[{"metadata":{"name":"hm.example.com"},"versions":[{"freshness":"Current","resources":[{"resource":"assets","responseKind":{"group":"hm.example.com","kind":"Asset","version":"v1"},"scope":"Namespaced","singularResource":"asset","subresources":[{"responseKind":{"group":"hm.example.com","kind":"Asset","version":"v1"},"subresource":"status","verbs":["get","patch","update"]},{"responseKind":{"group":"autoscaling","kind":"Scale","version":"v1"},"subresource":"scale","verbs":["get","patch","update"]}],"verbs":["delete","deletecollection","get","list","patch","create","update","watch"]}],"version":"v1"}]}],"kind":"APIGroupDiscoveryList","metadata":{}}"#);
    let core = text(aggregated(&catalog, Root::Api));
    assert!(core.contains(r#""items":[{"metadata":{},"versions":[{"freshness":"Current","resources":[{"resource":"namespaces""#), "{core}");
    assert!(core.contains(r#""shortNames":["ns"]"#));
    assert!(core.contains(r#"{"responseKind":{"group":"authentication.k8s.io","kind":"TokenRequest","version":"v1"},"subresource":"token","verbs":["create"]}"#), "{core}");
}

#[test]
fn etags_have_the_form_of_the_reference() {
    let tag = etag(b"{}");
    assert_eq!(tag.len(), 128);
    assert!(tag.starts_with("27C74670ADB75075"));
}
