"""Every number knows whom to thank: sources, the bibliography, and BibTeX of what a run used."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A place in the literature: a key of :data:`BIBLIOGRAPHY` and where in the paper."""

    key: str
    where: str = ""

    @property
    def reference(self) -> "Reference":
        """The bibliography's entry."""
        return BIBLIOGRAPHY[self.key]

    def __str__(self) -> str:
        return f"{self.reference.short}{', ' + self.where if self.where else ''}"


@dataclass(frozen=True)
class Reference:
    """One paper."""

    key: str
    authors: str
    year: int
    title: str
    arxiv: str
    venue: str = ""

    @property
    def short(self) -> str:
        """Author and year, as a sentence cites it."""
        names = self.authors.split(" and ")
        family = names[0].split(",")[0]
        return (
            f"{family} et al. {self.year}"
            if len(names) > 2
            else f"{' and '.join(n.split(',')[0] for n in names)} {self.year}"
        )

    @property
    def url(self) -> str:
        """The abstract's address."""
        return f"https://arxiv.org/abs/{self.arxiv}"

    def bibtex(self) -> str:
        """The BibTeX entry."""
        lines = [
            f"  author = {{{self.authors}}},",
            f"  title = {{{self.title}}},",
            f"  year = {{{self.year}}},",
            f"  eprint = {{{self.arxiv}}},",
            "  archivePrefix = {arXiv},",
        ]
        if self.venue:
            lines.append(f"  note = {{{self.venue}}},")
        return "\n".join([f"@misc{{{self.key},", *lines, "}"])


BIBLIOGRAPHY: dict[str, Reference] = {
    r.key: r
    for r in (
        Reference(
            "power2022grokking",
            "Power, Alethea and Burda, Yuri and Edwards, Harri and Babuschkin, Igor and Misra, Vedant",
            2022,
            "Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets",
            "2201.02177",
        ),
        Reference(
            "nanda2023progress",
            "Nanda, Neel and Chan, Lawrence and Lieberum, Tom and Smith, Jess and Steinhardt, Jacob",
            2023,
            "Progress measures for grokking via mechanistic interpretability",
            "2301.05217",
            "ICLR 2023",
        ),
        Reference(
            "liu2022effective",
            "Liu, Ziming and Kitouni, Ouail and Nolte, Niklas and Michaud, Eric J. and Tegmark, Max and Williams, Mike",
            2022,
            "Towards Understanding Grokking: An Effective Theory of Representation Learning",
            "2205.10343",
            "NeurIPS 2022",
        ),
        Reference(
            "liu2022omnigrok",
            "Liu, Ziming and Michaud, Eric J. and Tegmark, Max",
            2022,
            "Omnigrok: Grokking Beyond Algorithmic Data",
            "2210.01117",
            "ICLR 2023",
        ),
        Reference(
            "varma2023efficiency",
            "Varma, Vikrant and Shah, Rohin and Kenton, Zachary and Kramár, János and Kumar, Ramana",
            2023,
            "Explaining grokking through circuit efficiency",
            "2309.02390",
        ),
        Reference(
            "gromov2023arithmetic",
            "Gromov, Andrey",
            2023,
            "Grokking modular arithmetic",
            "2301.02679",
        ),
        Reference(
            "mallinar2024rfm",
            "Mallinar, Neil and Beaglehole, Daniel and Zhu, Libin and Radhakrishnan, Adityanarayanan and "
            "Pandit, Parthe and Belkin, Mikhail",
            2024,
            "Emergence in non-neural models: grokking modular arithmetic via average gradient outer product",
            "2407.20199",
            "ICML 2025",
        ),
        Reference(
            "morwani2024margin",
            "Morwani, Depen and Edelman, Benjamin L. and Oncescu, Costin-Andrei and Zhao, Rosie and Kakade, Sham",
            2024,
            "Feature emergence via margin maximization: case studies in algebraic tasks",
            "2311.07568",
            "ICLR 2024",
        ),
        Reference(
            "huang2024unified",
            "Huang, Yufei and Hu, Shengding and Han, Xu and Liu, Zhiyuan and Sun, Maosong",
            2024,
            "Unified View of Grokking, Double Descent and Emergent Abilities: A Perspective from Circuits Competition",
            "2402.15175",
        ),
        Reference(
            "barak2022hidden",
            "Barak, Boaz and Edelman, Benjamin L. and Goel, Surbhi and Kakade, Sham and Malach, Eran and Zhang, Cyril",
            2022,
            "Hidden Progress in Deep Learning: SGD Learns Parities Near the Computational Limit",
            "2207.08799",
            "NeurIPS 2022",
        ),
        Reference(
            "merrill2023circuits",
            "Merrill, William and Tsilivis, Nikolaos and Shukla, Aman",
            2023,
            "A Tale of Two Circuits: Grokking as Competition of Sparse and Dense Subnetworks",
            "2303.11873",
        ),
        Reference(
            "hurley2009sparsity",
            "Hurley, Niall and Rickard, Scott",
            2009,
            "Comparing Measures of Sparsity",
            "0811.4706",
            "IEEE Transactions on Information Theory 55(10)",
        ),
        Reference(
            "lee2024grokfast",
            "Lee, Jaerin and Kang, Bong Gyun and Kim, Kihoon and Lee, Kyoung Mu",
            2024,
            "Grokfast: Accelerated Grokking by Amplifying Slow Gradients",
            "2405.20233",
        ),
        Reference(
            "kingma2014adam",
            "Kingma, Diederik P. and Ba, Jimmy",
            2014,
            "Adam: A Method for Stochastic Optimization",
            "1412.6980",
            "ICLR 2015",
        ),
        Reference(
            "loshchilov2017decoupled",
            "Loshchilov, Ilya and Hutter, Frank",
            2017,
            "Decoupled Weight Decay Regularization",
            "1711.05101",
            "ICLR 2019",
        ),
        Reference(
            "wang2024grokked",
            "Wang, Boshi and Yue, Xiang and Su, Yu and Sun, Huan",
            2024,
            "Grokked Transformers are Implicit Reasoners: A Mechanistic Journey to the Edge of Generalization",
            "2405.15071",
            "NeurIPS 2024",
        ),
        Reference(
            "shazeer2017outrageously",
            "Shazeer, Noam and Mirhoseini, Azalia and Maziarz, Krzysztof and Davis, Andy and Le, Quoc and "
            "Hinton, Geoffrey and Dean, Jeff",
            2017,
            "Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer",
            "1701.06538",
            "ICLR 2017",
        ),
        Reference(
            "notsawo2023predicting",
            "Notsawo, Pascal Jr. Tikeng and Zhou, Hattie and Pezeshki, Mohammad and Rish, Irina and Dumas, Guillaume",
            2023,
            "Predicting Grokking Long Before it Happens: A look into the loss landscape of models which grok",
            "2306.13253",
        ),
        Reference(
            "thilak2022slingshot",
            "Thilak, Vimal and Littwin, Etai and Zhai, Shuangfei and Saremi, Omid and Paiss, Roni and Susskind, Joshua",
            2022,
            "The Slingshot Mechanism: An Empirical Study of Adaptive Optimizers and the Grokking Phenomenon",
            "2206.04817",
        ),
        Reference(
            "morris2025how",
            "Morris, John X. and Sitawarin, Chawin and Guo, Chuan and Kokhlikyan, Narine and Suh, G. Edward and "
            "Rush, Alexander M. and Chaudhuri, Kamalika and Mahloujifar, Saeed",
            2025,
            "How much do language models memorize?",
            "2505.24832",
        ),
        Reference(
            "song2026model",
            "Song, Yiding and Ye, Hanming",
            2026,
            "Model Capacity Determines Grokking through Competing Memorisation and Generalisation Speeds",
            "2605.09724",
        ),
        Reference(
            "li2025grokking",
            "Li, Ziyue and Fan, Chenrui and Zhou, Tianyi",
            2025,
            "Grokking in LLM Pretraining? Monitor Memorization-to-Generalization without Test",
            "2506.21551",
            "ICLR 2026",
        ),
        Reference(
            "wang2026distributional",
            "Wang, Ziyue and Ying, Yufeng and Kanamori, Takafumi",
            2026,
            "Distributional Spectral Diagnostics for Localizing Grokking Transitions",
            "2605.08237",
        ),
        Reference(
            "truong2026first",
            "Truong, Xuan Khanh and Truong, Quynh Hoa and Luu, Duc Trung and Phan, Thanh Duc",
            2026,
            "First-Passage Prediction of Grokking Delay: A Calibrated Law under AdamW with Causal Validation",
            "2605.18845",
        ),
        Reference(
            "fan2024deep",
            "Fan, Simin and Pascanu, Razvan and Jaggi, Martin",
            2024,
            "Deep Grokking: Would Deep Neural Networks Generalize Better?",
            "2405.19454",
        ),
        Reference(
            "prieto2025grokking",
            "Prieto, Lucas and Barsbey, Melih and Mediano, Pedro A. M. and Birdal, Tolga",
            2025,
            "Grokking at the Edge of Numerical Stability",
            "2501.04697",
            "ICLR 2025",
        ),
        Reference(
            "zhong2023clock",
            "Zhong, Ziqian and Liu, Ziming and Tegmark, Max and Andreas, Jacob",
            2023,
            "The Clock and the Pizza: Two Stories in Mechanistic Explanation of Neural Networks",
            "2306.17844",
            "NeurIPS 2023",
        ),
        Reference(
            "demoss2024complexity",
            "DeMoss, Branton and Sapora, Silvia and Foerster, Jakob and Hawes, Nick and Posner, Ingmar",
            2024,
            "The Complexity Dynamics of Grokking",
            "2412.09810",
        ),
        Reference(
            "papyan2020prevalence",
            "Papyan, Vardan and Han, X. Y. and Donoho, David L.",
            2020,
            "Prevalence of Neural Collapse during the terminal phase of deep learning training",
            "2008.08186",
        ),
        Reference(
            "jacot2018neural",
            "Jacot, Arthur and Gabriel, Franck and Hongler, Clément",
            2018,
            "Neural Tangent Kernel: Convergence and Generalization in Neural Networks",
            "1806.07572",
        ),
        Reference(
            "kumar2023grokking",
            "Kumar, Tanishq and Bordelon, Blake and Gershman, Samuel J. and Pehlevan, Cengiz",
            2023,
            "Grokking as the Transition from Lazy to Rich Training Dynamics",
            "2310.06110",
        ),
        Reference(
            "kornblith2019similarity",
            "Kornblith, Simon and Norouzi, Mohammad and Lee, Honglak and Hinton, Geoffrey",
            2019,
            "Similarity of Neural Network Representations Revisited",
            "1905.00414",
        ),
        Reference(
            "ghorbani2019investigation",
            "Ghorbani, Behrooz and Krishnan, Shankar and Xiao, Ying",
            2019,
            "An Investigation into Neural Net Optimization via Hessian Eigenvalue Density",
            "1901.10159",
        ),
        Reference(
            "foret2020sharpness",
            "Foret, Pierre and Kleiner, Ariel and Mobahi, Hossein and Neyshabur, Behnam",
            2020,
            "Sharpness-Aware Minimization for Efficiently Improving Generalization",
            "2010.01412",
        ),
        Reference(
            "li2017visualizing",
            "Li, Hao and Xu, Zheng and Taylor, Gavin and Studer, Christoph and Goldstein, Tom",
            2017,
            "Visualizing the Loss Landscape of Neural Nets",
            "1712.09913",
        ),
        Reference(
            "lau2023local",
            "Lau, Edmund and Furman, Zach and Wang, George and Murfet, Daniel and Wei, Susan",
            2023,
            "The Local Learning Coefficient: A Singularity-Aware Complexity Measure",
            "2308.12108",
        ),
        Reference(
            "vehtari2019rank",
            "Vehtari, Aki and Gelman, Andrew and Simpson, Daniel and Carpenter, Bob and Bürkner, Paul-Christian",
            2019,
            "Rank-normalization, folding, and localization: An improved R-hat for assessing convergence of MCMC",
            "1903.08008",
            "Bayesian Analysis 16(2)",
        ),
        Reference(
            "yao2019pyhessian",
            "Yao, Zhewei and Gholami, Amir and Keutzer, Kurt and Mahoney, Michael W.",
            2019,
            "PyHessian: Neural Networks Through the Lens of the Hessian",
            "1912.07145",
        ),
        Reference(
            "mccandlish2018empirical",
            "McCandlish, Sam and Kaplan, Jared and Amodei, Dario and OpenAI Dota Team",
            2018,
            "An Empirical Model of Large-Batch Training",
            "1812.06162",
        ),
        Reference(
            "xu2026lowdimensional",
            "Xu, Yongzhong",
            2026,
            "Low-Dimensional and Transversely Curved Optimization Dynamics in Grokking",
            "2602.16746",
        ),
        Reference(
            "chughtai2023toy",
            "Chughtai, Bilal and Chan, Lawrence and Nanda, Neel",
            2023,
            "A Toy Model of Universality: Reverse Engineering How Networks Learn Group Operations",
            "2302.03025",
            "ICML 2023",
        ),
        Reference(
            "stander2023cosets",
            "Stander, Dashiell and Yu, Qinan and Fan, Honglu and Biderman, Stella",
            2023,
            "Grokking Group Multiplication with Cosets",
            "2312.06581",
            "ICML 2024",
        ),
        Reference(
            "he2026mechanism",
            "He, Jianliang and Wang, Leda and Chen, Siyu and Yang, Zhuoran",
            2026,
            "On the Mechanism and Dynamics of Modular Addition: Fourier Features, Lottery Ticket, and Grokking",
            "2602.16849",
        ),
        Reference(
            "pedregosa2011scikitlearn",
            "Pedregosa, Fabian and Varoquaux, Gaël and Gramfort, Alexandre and Michel, Vincent and others",
            2011,
            "Scikit-learn: Machine Learning in Python",
            "1201.0490",
            "JMLR 12",
        ),
        Reference(
            "madry2017towards",
            "Madry, Aleksander and Makelov, Aleksandar and Schmidt, Ludwig and Tsipras, Dimitris and Vladu, Adrian",
            2017,
            "Towards Deep Learning Models Resistant to Adversarial Attacks",
            "1706.06083",
            "ICLR 2018",
        ),
        Reference(
            "goodfellow2014explaining",
            "Goodfellow, Ian J. and Shlens, Jonathon and Szegedy, Christian",
            2014,
            "Explaining and Harnessing Adversarial Examples",
            "1412.6572",
            "ICLR 2015",
        ),
        Reference(
            "humayun2024deep",
            "Humayun, Ahmed Imtiaz and Balestriero, Randall and Baraniuk, Richard",
            2024,
            "Deep Networks Always Grok and Here is Why",
            "2402.15555",
        ),
        Reference(
            "liu2023grokking",
            "Liu, Ziming and Zhong, Ziqian and Tegmark, Max",
            2023,
            "Grokking as Compression: A Nonlinear Complexity Perspective",
            "2310.05918",
        ),
        Reference(
            "clauw2024informationtheoretic",
            "Clauw, Kenzo and Stramaglia, Sebastiano and Marinazzo, Daniele",
            2024,
            "Information-Theoretic Progress Measures reveal Grokking is an Emergent Phase Transition",
            "2408.08944",
        ),
        Reference(
            "rosas2019quantifying",
            "Rosas, Fernando and Mediano, Pedro A. M. and Gastpar, Michael and Jensen, Henrik J.",
            2019,
            "Quantifying High-order Interdependencies via Multivariate Extensions of the Mutual Information",
            "1902.11239",
        ),
        Reference(
            "martin2018implicit",
            "Martin, Charles H. and Mahoney, Michael W.",
            2018,
            "Implicit Self-Regularization in Deep Neural Networks: Evidence from Random Matrix Theory and Implications "
            "for Learning",
            "1810.01075",
        ),
        Reference(
            "clauset2007powerlaw",
            "Clauset, Aaron and Shalizi, Cosma Rohilla and Newman, M. E. J.",
            2007,
            "Power-law distributions in empirical data",
            "0706.1062",
            "SIAM Review 51(4), 2009",
        ),
        Reference(
            "prakash2025grokking",
            "Prakash, Hari K. and Martin, Charles H.",
            2025,
            "Grokking and Generalization Collapse: Insights from HTSR theory",
            "2506.04434",
        ),
        Reference(
            "golwala2026ildr",
            "Golwala, Shreel",
            2026,
            "ILDR: Geometric Early Detection of Grokking",
            "2604.20923",
        ),
        Reference(
            "howe2026capability",
            "Howe, Gunner Levi",
            2026,
            "Capability Emergence Can Be Forecast: Per-Seed, In Advance, With Calibrated Intervals, Certified False "
            "Alarms, and a Blind Pre-Registered Gate",
            "2609.19000",
        ),
        Reference(
            "truong2026what",
            "Truong, Xuan Khanh",
            2026,
            "What Does the Weight Norm Control in Grokking? Logit-Scale Mediation under Cross-Entropy",
            "2606.18465",
        ),
        Reference(
            "fort2020deep",
            "Fort, Stanislav and Dziugaite, Gintare Karolina and Paul, Mansheej and Kharaghani, Sepideh and "
            "Roy, Daniel M. and Ganguli, Surya",
            2020,
            "Deep learning versus kernel learning: an empirical study of loss landscape geometry and the time "
            "evolution of the Neural Tangent Kernel",
            "2010.15110",
            "NeurIPS 2020",
        ),
        Reference(
            "levi2023linear",
            "Levi, Noam and Beck, Alon and Bar-Sinai, Yohai",
            2023,
            "Grokking in Linear Estimators - A Solvable Model that Groks without Understanding",
            "2310.16441",
            "ICLR 2024",
        ),
        Reference(
            "zunkovic2022local",
            "Zunkovic, Bojan and Ilievski, Enej",
            2022,
            "Grokking phase transitions in learning local rules with gradient descent",
            "2210.15435",
        ),
        Reference(
            "lee2019wide",
            "Lee, Jaehoon and Xiao, Lechao and Schoenholz, Samuel S. and Bahri, Yasaman and Novak, Roman and "
            "Sohl-Dickstein, Jascha and Pennington, Jeffrey",
            2019,
            "Wide Neural Networks of Any Depth Evolve as Linear Models Under Gradient Descent",
            "1902.06720",
            "NeurIPS 2019",
        ),
    )
}


def bibtex(sources: Iterable[Source]) -> str:
    """BibTeX of the papers behind ``sources``, each once, in order of first use."""
    keys = dict.fromkeys(source.key for source in sources)
    return "\n\n".join(BIBLIOGRAPHY[key].bibtex() for key in keys)
