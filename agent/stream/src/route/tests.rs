//! Routes come back as they were written, and nothing else is one.

use super::*;
use proptest::prelude::*;

fn option<S: Strategy>(of: S) -> impl Strategy<Value = Option<S::Value>>
where
    S::Value: Clone,
{
    proptest::option::of(of)
}

fn instance() -> impl Strategy<Value = Instance> {
    ("[a-z0-9-]{1,9}", "[a-z0-9.-]{1,9}", "[a-f0-9-]{1,36}").prop_map(|(namespace, name, uid)| Instance {
        namespace,
        name,
        uid,
    })
}

fn log() -> impl Strategy<Value = LogOptions> {
    let since =
        prop_oneof![(1..9_u64).prop_map(Since::Seconds), Just(Since::Time("2026-11-21T20:00:00.5Z".into())),];
    let numbers = (option(0..9_u64), option(1..9_u64), option(since));
    (option("[a-z]{1,5}"), any::<[bool; 3]>(), numbers).prop_map(
        |(container, [follow, previous, timestamps], (tail_lines, limit_bytes, since))| LogOptions {
            container,
            follow,
            previous,
            timestamps,
            tail_lines,
            since,
            limit_bytes,
        },
    )
}

fn terminal(command: bool) -> impl Strategy<Value = Terminal> {
    // Printable or not: what is after %00 is refused.
    let arguments = proptest::collection::vec("[^\0]{0,9}", usize::from(command)..4);
    let size = proptest::option::of((1..=u16::MAX, 1..=u16::MAX));
    (option("[a-z]{1,5}"), arguments, any::<[bool; 4]>(), size).prop_map(
        move |(container, mut arguments, [stdin, stdout, stderr, tty], size)| {
            if !command {
                arguments.clear();
            }
            // A program has a name.
            if let Some(program) = arguments.first_mut().filter(|program| program.is_empty()) {
                program.push('a');
            }
            let stdout = stdout || !(stdin || (stderr && !tty));
            let size = size.filter(|_| tty).map(|(width, height)| Resize { width, height });
            Terminal { container, command: arguments, stdin, stdout, stderr: stderr && !tty, tty, size }
        },
    )
}

fn route() -> impl Strategy<Value = Route> {
    let image = "[a-z0-9./:@]{1,20}";
    prop_oneof![
        (instance(), log()).prop_map(|(instance, options)| Route::Log(instance, options)),
        (instance(), terminal(true)).prop_map(|(instance, terminal)| Route::Exec(instance, terminal)),
        (instance(), terminal(false)).prop_map(|(instance, terminal)| Route::Attach(instance, terminal)),
        (instance(), 1..=u16::MAX).prop_map(|(instance, port)| Route::PortForward(instance, port)),
        Just(Route::Stats),
        Just(Route::Metrics),
        Just(Route::Images(ImageAction::Import)),
        option(image).prop_map(|reference| Route::Images(ImageAction::List(reference))),
        image.prop_map(|reference| Route::Images(ImageAction::Pull(reference))),
        image.prop_map(|reference| Route::Images(ImageAction::Remove(reference))),
    ]
}

proptest! {
    #[test]
    fn a_route_comes_back(route in route()) {
        prop_assert_eq!(Route::parse(route.method(), &route.target()).unwrap(), route.clone());
        prop_assert!(route.is_covered_by(&route.clone().with_uid("")));
    }

    #[test]
    fn what_is_read_is_bounded_and_never_panics(target in "/v1/(log|exec|attach|images)\\?[a-zA-Z%0-9=&]{0,60}") {
        for method in ["GET", "POST", "DELETE"] {
            if let Ok(route) = Route::parse(method, &target) {
                prop_assert_eq!(Route::parse(method, &route.target()).unwrap(), route);
            }
        }
    }
}

fn exec(target: &str) -> Result<Option<Route>, Box<Status>> {
    Route::of_signed("POST", target)
}

#[test]
fn golden_targets() {
    let asked = exec(
        "/api/v1/namespaces/shop/pods/web-0/exec?command=sh&command=-c&command=a+b&stdin=1&stdout=1&tty=1",
    );
    let route = asked.unwrap().unwrap().with_uid("u-1");
    assert_eq!(
        route.target(),
        "/v1/exec?namespace=shop&name=web-0&uid=u-1&command=sh&command=-c&command=a%20b&stdin=true&stdout=true\
         &stderr=false&tty=true"
    );
    let sized = |size: &str| {
        let asked = exec(&format!("/api/v1/namespaces/shop/pods/web-0/exec?command=sh&stdin=1&{size}"));
        asked.unwrap().unwrap().target().split_once("&tty=").unwrap().1.to_owned()
    };
    assert_eq!(sized("tty=1&width=132&height=43"), "true&width=132&height=43");
    for none in
        ["width=132&height=43", "tty=1&width=132", "tty=1&width=0&height=1", "tty=1&width=1&height=65536"]
    {
        assert!(!sized(none).contains("width"), "{none}");
    }
    let asked = Route::of_signed(
        "GET",
        "/api/v1/namespaces/shop/pods/web-0/log?container=web&follow=true&tailLines=5&sinceSeconds=60",
    );
    assert_eq!(
        asked.unwrap().unwrap().with_uid("u-1").target(),
        "/v1/log?namespace=shop&name=web-0&uid=u-1&container=web&follow=true&tailLines=5&sinceSeconds=60"
    );
}

#[test]
fn what_a_user_signed_covers_what_it_says_and_no_more() {
    let of = |target: &str| exec(&format!("/api/v1/namespaces/shop/pods/web-0/{target}")).unwrap().unwrap();
    let sent = of("exec?command=id&stdout=true").with_uid("u-1");
    assert!(sent.is_covered_by(&of("exec?command=id&stdout=true")));
    assert!(!sent.is_covered_by(&of("exec?command=ls&stdout=true")));
    assert!(!sent.is_covered_by(&of("exec?command=id&stdout=true&stdin=true")));
    assert!(!sent.is_covered_by(&of("attach?stdout=true")));
    // Who names no container leaves open which; who names one does not.
    let web = of("exec?command=id&stdout=true&container=web").with_uid("u1");
    assert!(web.is_covered_by(&of("exec?command=id&stdout=true")));
    assert!(!web.is_covered_by(&of("exec?command=id&stdout=true&container=db")));
    assert!(!sent.is_covered_by(&of("exec?command=id&stdout=true&container=web")));
    let other = exec("/api/v1/namespaces/other/pods/web-0/exec?command=id&stdout=true").unwrap().unwrap();
    assert!(!sent.is_covered_by(&other));
    let forwarded = of("portforward").with_uid("u-1").with_port(80);
    assert!(forwarded.is_covered_by(&of("portforward")));
    assert!(forwarded.is_covered_by(&of("portforward?port=80")));
    assert!(!forwarded.is_covered_by(&of("portforward?port=81")));
    // The same through Instances; a path of another kind asks no agent.
    let ours = exec("/apis/hypermesh.online/v1/namespaces/shop/instances/web-0/exec?command=id&stdout=true");
    assert!(sent.is_covered_by(&ours.unwrap().unwrap()));
    assert_eq!(exec("/apis/apps/v1/namespaces/shop/instances/web-0/exec?command=id").unwrap(), None);
    assert_eq!(exec("/api/v1/namespaces/shop/pods/web-0/proxy").unwrap(), None);
}

#[test]
fn refusals() {
    let pods = "/api/v1/namespaces/a/pods/b";
    let cases = [
        ("log?tailLines=-1", 422),
        ("log?limitBytes=0", 422),
        ("log?sinceSeconds=0", 422),
        ("log?sinceSeconds=1&sinceTime=2026-11-21T20:00:00Z", 422),
        ("log?sinceTime=yesterday", 422),
        ("log?sinceTime=2026-11-21T20:00:00.Z", 422),
        ("log?tailLines=x", 400),
        ("exec?command=sh", 400),
        ("exec?stdout=1", 400),
        ("exec?stdout=1&command=", 400),
        ("attach?stdout=false&stderr=false", 400),
        ("portforward?port=0", 400),
        ("portforward?port=65536", 400),
    ];
    for (target, code) in cases {
        let refused = exec(&format!("{pods}/{target}")).unwrap_err();
        assert_eq!(refused.code, code, "{target}: {}", refused.message);
    }
    let refused = |method, target: &str| Route::parse(method, target).unwrap_err().code;
    assert_eq!(refused("GET", "/v2/log"), 404);
    assert_eq!(refused("GET", "/v1/exec?namespace=a&name=b&uid=c&command=sh&stdout=1"), 405);
    assert_eq!(refused("GET", "/v1/log?namespace=a&name=b"), 400);
    assert_eq!(refused("POST", "/v1/portforward?namespace=a&name=b&uid=c"), 400);
    let many = "&command=x".repeat(MOST_ARGUMENTS + 1);
    assert_eq!(refused("POST", &format!("/v1/exec?namespace=a&name=b&uid=c&stdout=1{many}")), 400);
}
