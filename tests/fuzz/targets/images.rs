//! Images of any bytes: what decodes can be delivered and cut, what does not decode is rejected everywhere, and what is delivered
//! opens everywhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manyframe_media::{
    Check, Cut, ImagePolicy, MediaLimits, OverviewScaling, TilePolicy, check_delivered, decode_rgb, prepare_image,
    probe_image_bytes, tile_image,
};

fuzz_target!(|bytes: &[u8]| {
    let limits = MediaLimits { max_pixels: 1 << 18, max_bytes: 1 << 20, ..MediaLimits::default() };
    let header = probe_image_bytes(bytes, &limits);
    let decoded = decode_rgb(bytes, &limits);
    if let Ok(image) = &decoded {
        let header = header.expect("a header of what decodes");
        assert_eq!((image.width_px(), image.height_px()), (header.width_px, header.height_px));
    }
    let policy = ImagePolicy { limits, check: Check::Decode, ..ImagePolicy::default() };
    let prepared = prepare_image(bytes.to_vec(), &policy);
    assert_eq!(prepared.is_ok(), decoded.is_ok(), "{:?}, {:?}", prepared.err(), decoded.err());
    if let Ok(prepared) = prepared {
        let size = check_delivered(&prepared.image.bytes, &policy.limits).expect("what is delivered opens");
        assert_eq!(size, (prepared.image.width_px, prepared.image.height_px));
    }
    let scaled = prepare_image(bytes.to_vec(), &ImagePolicy { max_edge_px: Some(40), ..policy.clone() });
    assert_eq!(scaled.is_ok(), decoded.is_ok(), "{:?}, {:?}", scaled.err(), decoded.err());
    let exact = TilePolicy::default();
    let lossless = TilePolicy { cut: Cut::Lossless, ..exact };
    for tiles in [exact, lossless, TilePolicy { overview: OverviewScaling::Dct, ..lossless }] {
        match tile_image(bytes, &policy, &tiles) {
            Ok(tiled) => {
                assert_eq!(tiled.images.len() as u64, 1 + tiled.grid.num_tiles());
                assert!(decoded.is_ok());
                for image in tiled.images {
                    let size = check_delivered(&image.bytes, &policy.limits).expect("a tile opens");
                    assert_eq!(size, (image.width_px, image.height_px));
                }
            }
            Err(error) => assert!(decoded.is_err(), "{error}"),
        }
    }
});
