use super::*;
use proptest::prelude::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// RFC 8032 section 7.1, test 2.
#[test]
fn it_is_ed25519() {
    let seed = hex::decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
    let key = SigningKey::from_seed(&seed.try_into().unwrap());
    insta::assert_snapshot!(key.public(), @"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                    085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    assert_eq!(key.sign(&[0x72]).to_hex(), expected);
}

/// Points of small order, of the table that ZIP-215's authors test with: a signature of zeros by such a key verifies
/// over every message under ZIP-215's cofactored equation, and RFC 8032 lets implementations disagree.
#[test]
fn edge_cases_verify_as_zip_215_says_in_both_modes() {
    let small_order = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let mut items = Vec::new();
    for key in small_order {
        for r in small_order {
            let signature: Signature = format!("{r}{}", "00".repeat(32)).parse().unwrap();
            let key: PublicKey = key.parse().unwrap();
            assert_eq!(key.verify(b"Zcash", &signature), Ok(()), "{key} {signature}");
            items.push((key, b"Zcash".as_slice(), signature));
        }
    }
    assert_eq!(verify_batch(&items), Ok(()));
    // s must be below the group's order: this one is s + L of a good signature.
    let good = key(1).sign(b"m");
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut bad = good;
    let mut carry = 0;
    for (byte, add) in bad.0[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    assert!(key(1).public().verify(b"m", &good).is_ok());
    assert_eq!(key(1).public().verify(b"m", &bad), Err(SignatureError::Mismatch(key(1).public())));
    items.push((key(1).public(), b"m", bad));
    assert_eq!(verify_batch(&items).unwrap_err().index, items.len() - 1);
}

#[test]
fn bytes_that_are_no_point_are_told_apart() {
    let no_point = PublicKey([2; 32]);
    let signature = key(1).sign(b"m");
    assert_eq!(no_point.verify(b"m", &signature), Err(SignatureError::Key(no_point)));
    let items = [(key(1).public(), b"m".as_slice(), signature), (no_point, b"m", signature)];
    let error = verify_batch(&items).unwrap_err();
    assert_eq!(error, BatchError { index: 1, source: SignatureError::Key(no_point) });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_batch_agrees_with_one_by_one(
        entries in prop::collection::vec((0..4_u8, any::<[u8; 4]>(), prop::option::weighted(0.1, 0..512_usize)), 0..12)
    ) {
        let items: Vec<_> = entries.iter().map(|(seed, message, flip)| {
            let mut signature = key(*seed).sign(message);
            if let Some(bit) = flip {
                signature.0[bit / 8] ^= 1 << (bit % 8);
            }
            (key(*seed).public(), message.as_slice(), signature)
        }).collect();
        let first_bad = items.iter().position(|(key, message, signature)| key.verify(message, signature).is_err());
        prop_assert_eq!(verify_batch(&items).err().map(|error| error.index), first_bad);
        prop_assert_eq!(first_bad, entries.iter().position(|(_, _, flip)| flip.is_some()));
    }

    #[test]
    fn text_is_read_back(key: [u8; 32], signature: [u8; 32]) {
        let key = PublicKey(key);
        prop_assert_eq!(key.to_string().parse(), Ok(key));
        prop_assert_eq!(key.to_base64().parse(), Ok(key));
        let signature = Signature([signature, key.0].concat().try_into().unwrap());
        prop_assert_eq!(signature.to_string().parse(), Ok(signature));
        prop_assert_eq!(signature.to_hex().parse(), Ok(signature));
    }
}

#[test]
fn other_text_is_refused() {
    for text in ["", "zz", &"g".repeat(64), &"a".repeat(63), &"a".repeat(88), "é"] {
        assert_eq!(text.parse::<PublicKey>(), Err(ParseKeyError { bytes: 32 }), "{text}");
    }
}

#[test]
fn a_secret_does_not_show() {
    let shown = format!("{:?}", SigningKey::from_seed(&[0x41; 32]));
    assert!(!shown.contains("4141") && !shown.contains("65, 65"), "{shown}");
}

#[test]
fn keys_under_which_anybody_signs_are_not_sound() {
    assert!(SigningKey::from_seed(&[7; 32]).public().is_sound());
    let mut neutral = [0; 32];
    neutral[0] = 1;
    // The neutral element, as it is written and with the other sign; points of order 4 and 8; no point at all.
    let mut signed = neutral;
    signed[31] |= 0x80;
    let order_eight: PublicKey =
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a".parse().unwrap();
    for weak in [PublicKey(neutral), PublicKey(signed), PublicKey([0; 32]), order_eight, PublicKey([2; 32])] {
        assert!(!weak.is_sound(), "{weak}");
    }
}
