//! The function libraries.

use super::{all_fail, all_true, compile_error};

#[test]
fn strings() {
    all_true(&[
        "'tacocat'.charAt(3) == 'o' && 'é'.charAt(1) == '' && 'aéb'.charAt(1) == 'é'",
        "'hello mellow'.indexOf('ello') == 1 && 'hello mellow'.indexOf('ello', 2) == 7 && 'a'.indexOf('b') == -1",
        "'hello mellow'.indexOf('') == 0 && 'aéb'.indexOf('b') == 2",
        "'hello mellow'.lastIndexOf('ello') == 7 && 'hello mellow'.lastIndexOf('ello', 6) == 1",
        "'hello'.lastIndexOf('') == 5 && 'ééb'.lastIndexOf('é', 0) == 0 && 'aaa'.lastIndexOf('aa', 0) == 0",
        "['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b' && [].join('-') == ''",
        "'TacoCat É'.lowerAscii() == 'tacocat É' && 'tacocat é'.upperAscii() == 'TACOCAT é'",
        "'hello hello'.replace('he', 'we') == 'wello wello' && 'hello hello'.replace('he', 'we', 1) == 'wello hello'",
        "'ab'.replace('', '_') == '_a_b_' && 'hello'.replace('l', '', -1) == 'heo' && 'aa'.replace('a', 'b', 0) == 'aa'",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'a'.split(',', 0) == []",
        "'aé'.split('') == ['a', 'é'] && ''.split('') == [] && ''.split(',') == [''] && 'abc'.split('', 2) == ['a', 'bc']",
        "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco' && 'éa'.substring(1, 1) == ''",
        "' \\ttrim\\n '.trim() == 'trim' && '   '.trim() == ''",
        "'gums'.reverse() == 'smug' && 'aé'.reverse() == 'éa'",
        "strings.quote('a\"b\\n') == '\"a\\\\\"b\\\\n\"'",
        "'abc'.contains('b') && 'abc'.startsWith('ab') && 'abc'.endsWith('bc') && ''.contains('')",
    ]);
    all_fail(&[
        ("'abc'.charAt(4)", "index out of range: 4"),
        ("'abc'.charAt(-1)", "index out of range: -1"),
        ("'abc'.substring(2, 1)", "invalid substring range. start: 2, end: 1"),
        ("'abc'.substring(40)", "index out of range: 40"),
        ("'abc'.indexOf('a', 9)", "index out of range: 9"),
        ("[1].join()", "no such overload"),
        ("1.trim()", "no such overload"),
    ]);
}

#[test]
fn formatting() {
    all_true(&[
        "'%s and %d%%'.format(['x', 5]) == 'x and 5%'",
        "'%.2f %.1e'.format([1.005, 1234.5]) == '1.00 1.2e+03'",
        "'%b %o %x %X'.format([5, 8, 255, 255]) == '101 10 ff FF'",
        "'%x'.format(['hi']) == '6869' && '%x'.format([-26]) == '-1a' && '%b'.format([true]) == '1'",
        "'%s'.format([[1, 'a', null, {'k': 1.5}]]) == '[1, a, null, {k: 1.5}]'",
        "'%s'.format([{'b': 1, 'a': 2}]) == '{a: 2, b: 1}'",
        "'%s %s'.format([duration('90s'), timestamp(0)]) == '90s 1970-01-01T00:00:00Z'",
    ]);
    all_fail(&[
        ("'%d'.format([])", "index 0 out of range"),
        ("'%d'.format(['x'])", "error during formatting: %d cannot be applied to a value of type string"),
        ("'%z'.format([1])", "could not parse formatting clause: unrecognized formatting clause \"z\""),
        ("'%'.format([1])", "could not parse formatting clause: unexpected end of string"),
        ("'%.999f'.format([1.0])", "could not parse formatting clause: error while parsing precision"),
    ]);
}

#[test]
fn lists() {
    all_true(&[
        "[1, 2, 2].isSorted() && !['b', 'a'].isSorted() && [].isSorted()",
        "[1, 2, 3].sum() == 6 && [1.5, 2.0].sum() == 3.5 && [].sum() == 0",
        "[duration('1s'), duration('2s')].sum() == duration('3s')",
        "[3, 1, 2].min() == 1 && ['a', 'c', 'b'].max() == 'c'",
        "[1, 2, 2].indexOf(2) == 1 && [1, 2, 2].lastIndexOf(2) == 2 && [1].indexOf(3) == -1",
        "[1, 2, 3, 4].slice(1, 3) == [2, 3] && [1].slice(1, 1) == []",
        "[1, [2, [3]]].flatten() == [1, 2, [3]] && [1, [2, [3]]].flatten(2) == [1, 2, 3]",
        "[1, 2, 1u, 'a', 'a'].distinct() == [1, 2, 'a']",
        "[3, 1, 2].sort() == [1, 2, 3] && [5, 4, 3, 2, 1, 0, 9].sort() == [0, 1, 2, 3, 4, 5, 9]",
        "[1, 2].reverse() == [2, 1] && lists.range(3) == [0, 1, 2] && lists.range(-1) == []",
        "[1, 2].first().value() == 1 && [1, 2].last().value() == 2 && ![].first().hasValue()",
        "[{'n': 2, 'v': 'x'}, {'n': 1, 'v': 'y'}].sortBy(e, e.n).map(e, e.v) == ['y', 'x']",
        "sets.contains([1, 2, 3], [2, 3.0]) && !sets.contains([1], [2]) && sets.contains([], [])",
        "sets.equivalent([1, 1, 2], [2, 1u]) && sets.intersects([1, 2], [2, 9]) && !sets.intersects([], [1])",
    ]);
    all_fail(&[
        ("[].min()", "min called on empty list"),
        ("[1, 'a'].max()", "no such overload"),
        ("['a'].sum()", "no such overload"),
        ("[9223372036854775807, 1].sum()", "integer overflow"),
        ("[1].slice(1, 0)", "cannot slice(1, 0), start index must be less than or equal to end index"),
        ("[1].slice(0, 2)", "cannot slice(0, 2), list is length 1"),
        ("[1].slice(-1, 0)", "cannot slice(-1, 0), negative indexes not supported"),
        ("[double('NaN'), 1.0].sort()", "NaN values cannot be ordered"),
    ]);
}

#[test]
fn regular_expressions() {
    all_true(&[
        "'abc123'.matches('[a-z]+[0-9]+') && matches('abc', '^a') && !'abc'.matches('^b')",
        "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
        "'1 2 3'.findAll('[0-9]') == ['1', '2', '3'] && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
        "'a'.findAll('b') == [] && 'ab'.findAll('') == ['', '', '']",
        "['^a', '^b'].exists(p, 'bc'.matches(p))",
    ]);
    all_fail(&[("['('].exists(p, 'a'.matches(p))", "invalid regular expression: unclosed group")]);
    assert_eq!(
        compile_error("'a'.find('[')"),
        "ERROR: <input>:1:5: invalid regular expression: unclosed character class"
    );
}

#[test]
fn urls() {
    all_true(&[
        "url('https://user@example.com:80/a b/c?x=1&x=2&y=%20z').getHost() == 'example.com:80'",
        "url('https://example.com:80/').getHostname() == 'example.com' && url('https://example.com:80/').getPort() == '80'",
        "url('https://[::1]:80/').getHost() == '[::1]:80' && url('https://[::1]:80/').getHostname() == '::1'",
        "url('HTTPS://example.com').getScheme() == 'https' && url('/path').getScheme() == ''",
        "url('https://e.com/with space/').getEscapedPath() == '/with%20space/'",
        "url('https://e.com/a?x=1&x=2&y=%20z').getQuery() == {'x': ['1', '2'], 'y': [' z']}",
        "isURL('https://a.b/c') && isURL('/a/b') && !isURL('../a') && !isURL('') && !isURL('a.b')",
        "!isURL('https://a:b:c/') && !isURL('https://a.b/%zz') && !isURL('https://[::1/')",
        "url('https://a.b/') == url('https://a.b/')",
    ]);
    all_fail(&[("url('../x')", "URL parse error during conversion from string: \"../x\"")]);
}

#[test]
fn addresses() {
    all_true(&[
        "ip('127.0.0.1').isLoopback() && ip('::1').isLoopback() && ip('10.0.0.1').family() == 4",
        "ip('2001:db8::1').family() == 6 && ip('::').isUnspecified() && ip('0.0.0.0').isUnspecified()",
        "ip('224.0.0.1').isLinkLocalMulticast() && ip('ff02::1').isLinkLocalMulticast()",
        "ip('169.254.1.1').isLinkLocalUnicast() && ip('fe80::1').isLinkLocalUnicast()",
        "ip('192.168.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()",
        "isIP('1.2.3.4') && !isIP('1.2.3') && !isIP('01.2.3.4') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')",
        "ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD') && !ip.isCanonical('::0:1')",
        "ip('::1') == ip('0:0::1') && string(ip('0:0::1')) == '::1'",
        "cidr('192.168.0.0/24').containsIP('192.168.0.7') && !cidr('192.168.0.0/24').containsIP(ip('192.168.1.7'))",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
        "cidr('0.0.0.0/0').containsIP('8.8.8.8') && !cidr('0.0.0.0/0').containsIP('::1')",
        "cidr('192.168.1.5/24').masked() == cidr('192.168.1.0/24') && cidr('192.168.1.5/24').ip() == ip('192.168.1.5')",
        "cidr('::/0').prefixLength() == 0 && string(cidr('::1/128')) == '::1/128'",
        "isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0') && !isCIDR('10.0.0.0/08')",
        "type(ip('::1')) == net.IP && type(cidr('::/0')) == net.CIDR",
    ]);
    all_fail(&[
        ("ip('x')", "IP Address \"x\" parse error during conversion from string"),
        ("cidr('x')", "network address parse error during conversion from string: \"x\""),
    ]);
}

#[test]
fn quantities() {
    all_true(&[
        "quantity('1.5Gi').isGreaterThan(quantity('1Gi')) && quantity('100m').isLessThan(quantity('1'))",
        "quantity('1Gi').compareTo(quantity('1024Mi')) == 0 && quantity('1Gi') == quantity('1024Mi')",
        "quantity('50k').add(quantity('20k')) == quantity('70k') && quantity('50k').add(20) == quantity('50020')",
        "quantity('50k').sub(quantity('60k')).sign() == -1 && quantity('0').sign() == 0",
        "quantity('2k').isInteger() && quantity('2k').asInteger() == 2000 && !quantity('1m').isInteger()",
        "quantity('50.703k').asApproximateFloat() == 50703.0",
        "isQuantity('1.3Gi') && !isQuantity('1.3GiB') && !isQuantity('')",
    ]);
    all_fail(&[
        ("quantity('1m').asInteger()", "cannot convert value to integer"),
        ("quantity('10Mo')", "quantities must match the quantity format: \"10Mo\""),
    ]);
}

#[test]
fn versions() {
    all_true(&[
        "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0').isGreaterThan(semver('1.0.0-rc.1'))",
        "semver('1.0.0-alpha.2').isLessThan(semver('1.0.0-alpha.10')) && semver('1.0.0-1').isLessThan(semver('1.0.0-a'))",
        "semver('1.0.0+a').compareTo(semver('1.0.0+b')) == 0 && semver('1.0.0+a') == semver('1.0.0')",
        "isSemver('1.0.0-rc.1+build') && !isSemver('1.0') && !isSemver('v1.0.0') && !isSemver('1.01.0')",
        "isSemver('v1.0', true) && semver('v01', true) == semver('1.0.0') && !isSemver('1.0-rc', true)",
    ]);
    all_fail(&[("semver('v1')", "semver parse error: \"v1\"")]);
}

#[test]
fn formats() {
    all_true(&[
        "!format.dns1123Label().validate('my-name').hasValue()",
        "format.dns1123Label().validate('My-name').value().size() == 1",
        "format.dns1123Label().validate('a'.replace('a', 'aaaaaaaaaaaaaaaa').replace('a', 'aaaa')).value() == ['must be no more than 63 bytes']",
        "!format.dns1123Subdomain().validate('a.b-c').hasValue() && format.dns1123Subdomain().validate('a..b').hasValue()",
        "format.dns1035Label().validate('1a').hasValue() && !format.dns1035Label().validate('a1').hasValue()",
        "!format.qualifiedName().validate('example.com/Name_1').hasValue() && format.qualifiedName().validate('a/b/c').hasValue()",
        "!format.labelValue().validate('').hasValue() && format.labelValue().validate('-a').hasValue()",
        "!format.dns1123LabelPrefix().validate('a-').hasValue() && format.dns1123LabelPrefix().validate('-').hasValue()",
        "!format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue() && format.uuid().validate('x').hasValue()",
        "!format.date().validate('2024-02-29').hasValue() && format.date().validate('2023-02-29').hasValue()",
        "!format.datetime().validate('2024-02-29T00:00:00Z').hasValue() && !format.uri().validate('https://a.b').hasValue()",
        "!format.byte().validate('aGk=').hasValue() && format.byte().validate('a').hasValue()",
        "format.named('uuid').hasValue() && !format.named('nope').hasValue()",
        "format.named('date').value() == format.date()",
        "base64.decode('aGk') == b'hi' && base64.encode(b'hi') == 'aGk='",
    ]);
}
