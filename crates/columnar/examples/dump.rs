//! scratch
#![allow(clippy::all, clippy::pedantic, clippy::print_stdout, clippy::unwrap_used, missing_docs, reason = "scratch")]
use manyframe_columnar::*;
fn main() {
    let mut args = std::env::args().skip(1);
    let mode = args.next().unwrap();
    for path in args {
        match mode.as_str() {
            "rows" => match RowReader::open(path.as_ref()) {
                Err(e) => println!("ERR {e:?}"),
                Ok(r) => {
                    for row in r.rows(0..u64::MAX).unwrap() {
                        println!(
                            "{:?}",
                            match row {
                                Ok((_, Row::Json(t))) => t,
                                x => format!("{x:?}"),
                            }
                        );
                    }
                }
            },
            "count" => {
                let t = std::time::Instant::now();
                let r = RowReader::open(path.as_ref()).unwrap();
                let n: usize = r
                    .rows(0..u64::MAX)
                    .unwrap()
                    .map(|r| match r.unwrap().1 {
                        Row::Json(t) => t.len(),
                        _ => 0,
                    })
                    .sum();
                println!("{n} json bytes {} rows {:?}", r.num_rows(), t.elapsed());
            }
            "cells" => {
                let t = std::time::Instant::now();
                let n = RowReader::open(path.as_ref()).unwrap().num_rows();
                let c = CellReader::new();
                let mut s = 0;
                for r in 0..n {
                    let mut i = 0;
                    while let Some(b) = c.read(path.as_ref(), "images", r, i).unwrap() {
                        s += b.len();
                        i += 1;
                    }
                }
                println!("seq {s} {:?}", t.elapsed());
                let t = std::time::Instant::now();
                let mut s = 0;
                for k in 0..50 {
                    let r = (k * 7919) % n;
                    s += c.read(path.as_ref(), "images", r, 0).unwrap().map_or(0, |b| b.len());
                }
                println!("rand50 {s} {:?}", t.elapsed());
            }
            _ => {}
        }
    }
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    eprintln!("{}", s.lines().find(|l| l.starts_with("VmHWM")).unwrap());
}
